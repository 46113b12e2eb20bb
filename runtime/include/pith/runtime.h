/* The Pith runtime: loads a .pith file and runs it.
 *
 * The model. A MODULE is one loaded .pith file: code, weights, entry points. A SESSION runs modules: it has the
 * threads, the working memory and the pool of cache pages. A SEQUENCE is a text being read or written: a cheap
 * handle over reference-counted pages of cache; forking one shares its pages. A STEP gives new tokens to any
 * number of sequences at once (LANES: long prompts, single tokens, rows to verify, mixed freely) and is a
 * transaction: if it fails or is cancelled, every sequence is as it was. What a step or a plain INVOKE computed
 * stands in a RESULT, a buffer that is used again and again.
 *
 * Conventions, for every function unless it says otherwise:
 *   Errors   A function that can fail returns pith_status and takes, last, a pith_error to fill; it may be null.
 *            After an error, what the call would have changed is unchanged and out-parameters are untouched.
 *            Nothing aborts, exits, prints or throws. There is no global and no thread-local state.
 *   Null     A null handle or a null required pointer is PITH_ERROR_ARGUMENT, with its name in the message;
 *            functions that return a value return 0. Every ..._free accepts null. Optional pointers are
 *            marked "may be null".
 *   Owner    What ..._new, ..._load and fork give belongs to the caller, who frees it with the matching
 *            ..._free. Handles keep what they need alive: a session its modules, a sequence its session, so
 *            they may be freed in any order. Inputs are copied or only read during the call. A returned pointer
 *            belongs to the object it came from and lives as its function says.
 *   Threads  Modules and stop sets never change: any thread, any time. Sessions and their sequences: any thread;
 *            calls on one session wait for one another (pith_session_cancel never waits), different sessions
 *            run in parallel. A result, a sampler: one thread at a time. Freeing an object while another
 *            thread uses the same handle is an error that cannot be detected. After fork(), the child has none
 *            of a session's threads: it must load and create anew.
 *   Structs  Every struct begins with struct_size; start from PITH_INIT(type), or set it to sizeof and the rest to
 *            zero. Zero is the default of every option. Fields are only ever added at the end, so programs
 *            compiled against an older header keep working. In an array of structs, the first element's
 *            struct_size is the stride.
 *   Absent   Every function of this header exists in every build. What a module or this version cannot do is
 *            refused with PITH_ERROR_UNSUPPORTED and the reason; pith_module_supports asks beforehand.
 *
 * Loading a .pith file runs native code from it: trust it as you trust a shared library.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#ifndef PITH_RUNTIME_H
#define PITH_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(PITH_BUILDING_SHARED) && defined(__GNUC__)
#define PITH_API __attribute__((visibility("default")))
#else
#define PITH_API
#endif

/* ---- Version ------------------------------------------------------------------------------------------- */

#define PITH_VERSION_MAJOR 0
#define PITH_VERSION_MINOR 1
#define PITH_VERSION_PATCH 0
#define PITH_VERSION ((PITH_VERSION_MAJOR << 16) | (PITH_VERSION_MINOR << 8) | PITH_VERSION_PATCH)

/* The version of the library at run time, coded as PITH_VERSION. Never fails. */
PITH_API uint32_t pith_version(void);

/* The same as text, "0.1.0"; static. */
PITH_API const char *pith_version_string(void);

/* The features of this machine's CPU that .pith files may ask for, by LLVM's names, separated by commas. Writes at
 * most `capacity` bytes with the terminating zero to `buffer` (may be null when capacity is 0) and returns
 * the length of the whole text. */
PITH_API size_t pith_cpu_features(char *buffer, size_t capacity);

#ifdef __cplusplus
#define PITH_INIT(type) (::pith_init_<type>())
#else
#define PITH_INIT(type) ((type){.struct_size = sizeof(type)})
#endif

/* ---- Errors -------------------------------------------------------------------------------------------- */

typedef int32_t pith_status;
enum {
  PITH_OK = 0,
  PITH_ERROR_ARGUMENT = 1,    /* a wrong argument: null, out of range, inconsistent */
  PITH_ERROR_MEMORY = 2,      /* the system gave no memory or no thread */
  PITH_ERROR_IO = 3,          /* a file or stream could not be opened, mapped, read or written */
  PITH_ERROR_FORMAT = 4,      /* not a .pith file, or a damaged one */
  PITH_ERROR_VERSION = 5,     /* made for another version of the runtime */
  PITH_ERROR_CPU = 6,         /* this machine lacks instructions that the file needs */
  PITH_ERROR_NOT_FOUND = 7,   /* no entry, input, output or key of that name */
  PITH_ERROR_SHAPE = 8,       /* an input's element type, rank or dimension does not fit */
  PITH_ERROR_LIMIT = 9,       /* page limit, or the last position that the model knows */
  PITH_ERROR_CANCELLED = 10,  /* cancelled; nothing changed */
  PITH_ERROR_UNSUPPORTED = 11,/* this module or this version cannot do it; the message says why */
  PITH_ERROR_MISMATCH = 12,   /* state or adapter of another model */
  PITH_ERROR_EXECUTION = 13,  /* the module's code or the application's executor or callback failed */
  PITH_ERROR_DEVICE = 14      /* no such device, no kernels for it, or its driver failed; the message has its words */
};

/* The status' name, "PITH_ERROR_SHAPE"; static, "unknown status" for a value that this version does not know. */
PITH_API const char *pith_status_name(pith_status status);

typedef struct pith_error {
  uint32_t struct_size;
  pith_status code;
  char message[504]; /* one phrase: culprit, what was found, what was expected; always terminated */
} pith_error;

/* ---- Types, tensors ------------------------------------------------------------------------------------- */

typedef uint32_t pith_type;
enum {
  PITH_TYPE_NONE = 0,
  PITH_F32, PITH_F16, PITH_BF16, PITH_F64,
  PITH_I8, PITH_I16, PITH_I32, PITH_I64,
  PITH_U8, PITH_U16, PITH_U32, PITH_U64,
  PITH_BOOL, /* one byte, 0 or 1 */
  /* Stored and converted, without arithmetic. Elements of less than a byte lie packed, row-major, low bits of a byte
   * first, the last byte filled with zeros. */
  PITH_I4, PITH_U4, PITH_I2, PITH_U2,
  PITH_F8E4M3FN, PITH_F8E4M3FNUZ, PITH_F8E5M2, PITH_F8E5M2FNUZ, PITH_F8E8M0, PITH_F4E2M1
};

/* Bytes of an element, 0 for a type of less than a byte or an unknown type; bits of an element, 0 for an unknown type.
 * The type's name as in manifests ("f32"), "?" for an unknown type. */
PITH_API size_t pith_type_size(pith_type type);
PITH_API size_t pith_type_bits(pith_type type);
PITH_API const char *pith_type_name(pith_type type);

#define PITH_MAX_RANK 16

/* A dense row-major tensor. */
typedef struct pith_tensor {
  uint32_t struct_size;
  pith_type type;
  const char *name;    /* inputs: the input's name, or null to go by position. outputs: the output's name */
  const int64_t *dims; /* rank entries; may be null when rank is 0 */
  uint32_t rank;
  uint32_t reserved;
  void *data;          /* may be null when there are no elements; inputs are only read; any alignment */
} pith_tensor;

/* ---- Modules -------------------------------------------------------------------------------------------- */

typedef struct pith_module pith_module;
struct pith_exec_table;
struct pith_embedded;

enum {
  PITH_LOAD_VERIFY_WEIGHTS = 1, /* read all weights and compare with their checksum; takes as long as reading them */
  PITH_LOAD_POPULATE = 2,       /* bring all weights into memory now instead of at first use */
  PITH_LOAD_COPY_WEIGHTS = 4    /* private copy in huge pages instead of the file's shared pages */
};

typedef struct pith_load_options {
  uint32_t struct_size;
  uint32_t flags; /* PITH_LOAD_... */
} pith_load_options;

/* Loads the .pith file at `path`. Sizes, offsets and checksums of everything but the weights, the manifest and the CPU
 * features are checked before any of its code is mapped. Weights are mapped, not read. options may be null.
 * Errors: IO, FORMAT, VERSION, CPU (names every missing feature), MEMORY. */
PITH_API pith_status pith_module_load(const char *path, const pith_load_options *options, pith_module **module,
                                      pith_error *error);

/* The same for a model that is part of the program: `pith compile --emit=obj` writes an object file to link and a header
 * that declares the model. Nothing is opened or copied: its weights are used where the program is mapped. `model`
 * must outlive the module. Errors: as pith_module_load. */
PITH_API pith_status pith_module_load_embedded(const struct pith_embedded *model, const pith_load_options *options,
                                               pith_module **module, pith_error *error);

/* The same from parts, for programs that bring their own code or weights. `table`, `weights` and `manifest` must
 * outlive the module; weights must be 64-byte aligned, and may be null when weights_size is 0. Errors: as
 * pith_module_load. */
PITH_API pith_status pith_module_link(const struct pith_exec_table *table, const void *weights, size_t weights_size,
                                      const char *manifest, size_t manifest_size, pith_module **module,
                                      pith_error *error);

PITH_API void pith_module_free(pith_module *module);

/* The manifest, UTF-8 JSON of *size bytes (size may be null), with a terminating zero; lives as long as the module. */
PITH_API const char *pith_module_manifest(const pith_module *module, size_t *size);

/* The text of the manifest's model.<key>: strings as they are, anything else as JSON. Lives as long as the module;
 * null when there is no such key. */
PITH_API const char *pith_module_metadata(const pith_module *module, const char *key);

/* The tokens that end a text, *count of them; lives as long as the module; null when the file names none. */
PITH_API const int32_t *pith_module_eos(const pith_module *module, size_t *count);

typedef uint32_t pith_capability;
enum {
  PITH_CAN_INVOKE = 1,      /* has entries for pith_invoke */
  PITH_CAN_STEP,            /* has sequences and steps */
  PITH_CAN_FORK,            /* fork at any token */
  PITH_CAN_TRUNCATE,        /* truncate to any token */
  PITH_CAN_SCORE,           /* pith_sequence_score, PITH_LANE_SCORE */
  PITH_CAN_MATCH,           /* pith_sequence_match and _pin */
  PITH_CAN_EXPORT,          /* pith_sequence_export and _import */
  PITH_CAN_EMBEDDING_ROWS,  /* pith_lane.embeddings */
  PITH_CAN_TAP,             /* pith_tap_new */
  PITH_CAN_GATE,            /* pith_gate_new */
  PITH_CAN_ADAPT,           /* pith_adapter_load */
  PITH_CAN_ATTACH,          /* pith_sequence_attach */
  PITH_CAN_VERIFY,          /* pith_verify */
  PITH_CAN_KV_MODES,        /* PITH_KV_WRITE_FOR_LANE */
  PITH_CAN_DETERMINISTIC,   /* PITH_SESSION_DETERMINISTIC */
  PITH_CAN_CONDITION        /* pith_sequence_condition, which every sequence needs then before it steps */
};

/* 1 when the module can, 0 when not; then *reason (may be null) says why, static. */
PITH_API int pith_module_supports(const pith_module *module, pith_capability capability, const char **reason);

typedef uint32_t pith_entry_kind;
enum { PITH_ENTRY_INVOKE = 1, PITH_ENTRY_STEP = 2, PITH_ENTRY_CONDITION = 3 };

/* Strings live as long as the module. */
typedef struct pith_entry_info {
  uint32_t struct_size;
  pith_entry_kind kind;
  const char *name;
  uint32_t input_count;  /* INVOKE; CONDITION: 1, the rows of pith_sequence_condition */
  uint32_t output_count; /* INVOKE only */
} pith_entry_info;

PITH_API size_t pith_module_entry_count(const pith_module *module);
/* Errors: ARGUMENT (index out of range). */
PITH_API pith_status pith_module_entry(const pith_module *module, size_t index, pith_entry_info *info,
                                       pith_error *error);
/* The index of the entry with this name. Errors: NOT_FOUND (names those that exist). */
PITH_API pith_status pith_module_find_entry(const pith_module *module, const char *name, size_t *index,
                                            pith_error *error);

/* An input or output. Arrays have `rank` entries and live as long as the module. */
typedef struct pith_port_info {
  uint32_t struct_size;
  pith_type type;
  const char *name;
  uint32_t rank;
  uint32_t reserved;
  const int64_t *dims;        /* -1 where symbolic */
  const char *const *symbols; /* the dimension's name or sum of names; null where fixed */
} pith_port_info;

/* Errors: ARGUMENT (index out of range). */
PITH_API pith_status pith_module_input(const pith_module *module, size_t entry, size_t index, pith_port_info *info,
                                       pith_error *error);
PITH_API pith_status pith_module_output(const pith_module *module, size_t entry, size_t index, pith_port_info *info,
                                        pith_error *error);

typedef struct pith_step_info {
  uint32_t struct_size;
  uint32_t vocab;       /* logits of a row; tokens are 0 .. vocab-1 */
  uint32_t max_rows;    /* rows that the code takes at once; longer steps are cut into chunks inside */
  uint32_t page_tokens; /* tokens of a cache page */
  uint64_t page_bytes;  /* bytes of a cache page, all layers */
  uint64_t positions;   /* tokens that a sequence may have; 0: no limit */
  uint32_t layers;      /* blocks with hidden states to tap; 0: none */
  uint32_t hidden;      /* floats of a hidden state; 0: none */
  uint32_t embedding;   /* floats of an embedding row (pith_lane.embeddings); 0: none */
  uint32_t condition;   /* floats of a condition's row (pith_sequence_condition); 0: the model takes none */
} pith_step_info;

/* Errors: UNSUPPORTED (the module has no step entry). */
PITH_API pith_status pith_module_step_info(const pith_module *module, pith_step_info *info, pith_error *error);

/* ---- Threads -------------------------------------------------------------------------------------------- */

/* The application's own threads. `run` calls task(argument, i) for every i in 0 .. threads-1, all at the same time, each
 * on a thread of its own (they wait for one another inside: one after the other would hang), and returns 0 when all
 * have returned. Non-zero says that no task was started. Called by one thread at a time per session. */
typedef struct pith_executor {
  uint32_t struct_size;
  uint32_t threads; /* at least 1 */
  void *context;
  int (*run)(void *context, uint32_t threads, void (*task)(void *argument, uint32_t thread), void *argument);
} pith_executor;

/* Threads that several sessions share: their steps then take turns instead of competing for the cores. */
typedef struct pith_thread_pool pith_thread_pool;

/* threads = 0: one per CPU that the process may use. The calling thread is one of them during a step. Errors: MEMORY. */
PITH_API pith_status pith_thread_pool_new(uint32_t threads, pith_thread_pool **pool, pith_error *error);
PITH_API void pith_thread_pool_free(pith_thread_pool *pool);
PITH_API uint32_t pith_thread_pool_threads(const pith_thread_pool *pool);

/* ---- Sessions ------------------------------------------------------------------------------------------- */

typedef struct pith_session pith_session;
typedef struct pith_sequence pith_sequence;
typedef struct pith_result pith_result;

enum {
  /* A row's results (logits, scores, taps) are the same bits whatever else is in the step, however a prompt is cut
   * into chunks and steps, whether its beginning was cached, and for any number of threads. Refused with UNSUPPORTED
   * where a module's code cannot promise it. Costs speed in steps of few rows. */
  PITH_SESSION_DETERMINISTIC = 1
};

typedef struct pith_session_options {
  uint32_t struct_size;
  uint32_t flags;                /* PITH_SESSION_... */
  uint32_t threads;              /* own threads; 0: one per CPU that the process may use */
  uint32_t spin_microseconds;    /* how long idle threads spin before they sleep; 0: 50 */
  pith_thread_pool *pool;        /* use these threads instead; may be null; kept alive */
  const pith_executor *executor; /* use the application's threads instead; may be null; copied */
  uint64_t page_limit_bytes;     /* most bytes of cache pages; 0: no limit */
  const char *device;            /* where the modules compute: "cpu", "cuda", "hip", "emulator", or one of several by its
                                    number ("cuda:1"); null: the first of the kind that their code is for; copied */
} pith_session_options;

/* A session for `count` modules, which share its threads and its page limit. options may be null. Modules compiled for a
 * device compute there or not at all: where its driver, the device or kernels for its chip are missing, the error says
 * what. Weights go to a device once for all sessions. Errors: ARGUMENT, MEMORY, UNSUPPORTED, DEVICE. */
PITH_API pith_status pith_session_new(pith_module *const *modules, size_t count, const pith_session_options *options,
                                      pith_session **session, pith_error *error);

/* Frees the handle; threads and memory go when the last sequence and result of it are freed. */
PITH_API void pith_session_free(pith_session *session);

/* Makes the step, score or invoke call that is running end with PITH_ERROR_CANCELLED at the next chunk boundary; nothing
 * happens when none is running. Never waits; any thread, signal handlers too. */
PITH_API void pith_session_cancel(pith_session *session);

typedef struct pith_memory {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t weights_bytes;    /* mapped weights of all modules (shared with other processes unless copied) */
  uint64_t page_bytes_used;  /* cache pages that sequences hold; a shared page counts once */
  uint64_t page_bytes_free;  /* cache pages kept for reuse, cached prefixes included */
  uint64_t page_limit_bytes; /* 0: no limit */
  uint64_t pages_used;
  uint64_t pages_shared;     /* of pages_used: held by more than one sequence */
  uint64_t workspace_bytes;  /* working memory of generated code and step bookkeeping */
  uint64_t sequences;        /* living sequences */
  uint64_t page_bytes_cached;/* of page_bytes_free: hold prefixes that pith_sequence_match finds */
  uint64_t pages_cached;     /* the same in pages */
  uint64_t pages_pinned;     /* pages that are not evicted now, held by a sequence or not */
  uint64_t device_bytes_free;  /* of the session's GPU, for all processes; 0 on the CPU and the emulator */
  uint64_t device_bytes_total; /* the same: all that it has */
} pith_memory;

/* Errors: none beyond ARGUMENT. */
PITH_API pith_status pith_session_memory(pith_session *session, pith_memory *memory, pith_error *error);

/* Gives free pages, unpinned cached prefixes and working memory back to the system. Errors: none beyond ARGUMENT. */
PITH_API pith_status pith_session_trim(pith_session *session, pith_error *error);

typedef struct pith_stats {
  uint32_t struct_size;
  uint32_t threads;
  uint64_t steps;              /* finished step calls */
  uint64_t invokes;            /* finished invoke calls */
  uint64_t rows;               /* token rows computed */
  uint64_t chunks;             /* batches given to generated code */
  uint64_t failed;             /* step, score and invoke calls that failed or were cancelled */
  uint64_t code_nanoseconds;   /* time in generated code, as the caller waits for it */
  uint64_t total_nanoseconds;  /* time in step, score and invoke calls */
  uint64_t pages_allocated;    /* pages taken from the system */
  uint64_t pages_recycled;     /* pages taken from the free list */
  uint64_t pages_copied;       /* copies on write */
  uint64_t match_tokens;       /* tokens found by pith_sequence_match */
  uint64_t matches;            /* calls of pith_sequence_match */
  uint64_t match_hits;         /* of them: found at least one token */
  uint64_t pages_evicted;      /* cached pages given up for others */
} pith_stats;

/* Counters since the session began. Errors: none beyond ARGUMENT. */
PITH_API pith_status pith_session_stats(pith_session *session, pith_stats *stats, pith_error *error);

/* Copies what the session computes on ("cpu", "cuda:0: NVIDIA H200, sm_90"), as pith_cpu_features does. */
PITH_API size_t pith_session_device(pith_session *session, char *buffer, size_t capacity);

/* Copies the reason of the last refusal, cache miss or failure of this session, as pith_cpu_features does. */
PITH_API size_t pith_session_explain(pith_session *session, char *buffer, size_t capacity);

/* ---- Sequences ------------------------------------------------------------------------------------------ */

typedef struct pith_sequence_options {
  uint32_t struct_size;
  uint32_t flags;         /* none yet */
  const char *salt;       /* sequences with different salts never share cached prefixes; may be null; copied */
} pith_sequence_options;

/* An empty sequence for one of the session's modules (null: its only module that has a step entry). options may be null.
 * Errors: ARGUMENT, UNSUPPORTED (no step entry), MEMORY. */
PITH_API pith_status pith_sequence_new(pith_session *session, pith_module *module,
                                       const pith_sequence_options *options, pith_sequence **sequence,
                                       pith_error *error);
PITH_API void pith_sequence_free(pith_sequence *sequence);

/* Tokens in the sequence; 0 for null. */
PITH_API size_t pith_sequence_length(const pith_sequence *sequence);

/* Copies tokens [from, from + count) to out, as many as there are; returns how many. Embedding rows are -1. */
PITH_API size_t pith_sequence_tokens(const pith_sequence *sequence, size_t from, int32_t *out, size_t count);

/* Conditions an empty sequence on `count` rows of an encoder's output, [count, width] floats: the decoder's
 * cross-attention sees all of them, and nothing of them stays with the caller. A model that takes a condition steps only sequences that
 * have one. Another call replaces it; forks share it, truncate leaves it, export and import carry it. Rows that pad a
 * batch do not belong here. Sequences with a condition take no part in pith_sequence_match. A failure or a cancel leaves the
 * sequence as it was. Errors: UNSUPPORTED (the model takes none), ARGUMENT (no rows; another width than
 * pith_step_info.condition; the sequence has tokens), LIMIT, MEMORY, CANCELLED, EXECUTION. */
PITH_API pith_status pith_sequence_condition(pith_sequence *sequence, const float *rows, size_t count, size_t width,
                                             pith_error *error);
/* Rows of the sequence's condition; 0 where it has none, and for null. */
PITH_API size_t pith_sequence_condition_rows(const pith_sequence *sequence);

/* `count` new sequences that begin as the first `at` tokens of this one. Pages are shared; the last one is copied when
 * one of its holders first writes to it. All or none. Errors: ARGUMENT (at beyond the length), MEMORY. */
PITH_API pith_status pith_sequence_fork(pith_sequence *sequence, size_t at, size_t count, pith_sequence **out,
                                        pith_error *error);

/* Keeps the first `length` tokens. Errors: ARGUMENT (beyond the length). */
PITH_API pith_status pith_sequence_truncate(pith_sequence *sequence, size_t length, pith_error *error);

/* Takes the pages for `length` tokens now, so that steps up to there cannot fail for want of pages. Truncate gives
 * them back. Errors: LIMIT, MEMORY. */
PITH_API pith_status pith_sequence_reserve(pith_sequence *sequence, size_t length, pith_error *error);

/* Makes the sequence hold exactly `tokens`: keeps the common beginning, drops what differs (embedding rows always do)
 * and steps the rest without logits. A failure leaves the sequence as it was. Errors: as pith_step. */
PITH_API pith_status pith_sequence_catch_up(pith_sequence *sequence, const int32_t *tokens, size_t count,
                                            pith_error *error);

/* Log-probability (natural logarithm) of each token i in [from, to) given the tokens before it, 1 <= from <= to <= length.
 * Re-runs those rows on the cached prefix; the sequence does not change. logprobs has to - from entries. Errors: as
 * pith_step; UNSUPPORTED where one of the rows was an embedding. */
PITH_API pith_status pith_sequence_score(pith_sequence *sequence, size_t from, size_t to, float *logprobs,
                                         pith_error *error);

/* Fills an empty sequence from the session's cached prefixes: the longest beginning of `tokens` that a living or a freed
 * sequence of the same module and salt has, to the token; *hit is its length. Pages are shared as in fork. After a
 * hit on all tokens there is none left to step for logits: ask for one less. Texts are cached page by page as they
 * grow and whole when their sequence is freed. At the page limit the text that was used least recently goes; without
 * a limit, cached texts take at most as many pages as sequences ever did. pith_session_explain says why a match
 * ended where it did. Errors: ARGUMENT (not empty; token outside the vocabulary), UNSUPPORTED. */
PITH_API pith_status pith_sequence_match(pith_sequence *sequence, const int32_t *tokens, size_t count, size_t *hit,
                                         pith_error *error);

/* Keeps the sequence's present text cached, after it is freed too, for at least `milliseconds`: at the page limit a step
 * fails rather than forget it. After that time a text of higher priority (0..100; 0 is that of texts never pinned) is
 * kept longer. A longer or higher pin of the same text stays. Errors: ARGUMENT (priority; empty sequence), UNSUPPORTED
 * (embedding rows in the text). */
PITH_API pith_status pith_sequence_pin(pith_sequence *sequence, uint32_t priority, uint64_t milliseconds,
                                       pith_error *error);

typedef uint32_t pith_attach_policy;
enum { PITH_ATTACH_READ_ONLY = 1, PITH_ATTACH_SEAL = 2 };

/* Lets an empty sequence read the first `upto` tokens' cache of a donor of another module with the same cache layout.
 * Errors: MISMATCH, UNSUPPORTED. */
PITH_API pith_status pith_sequence_attach(pith_sequence *sequence, pith_sequence *donor, size_t upto,
                                          pith_attach_policy policy, pith_error *error);

/* Streams for state: return 0 for success; a reader must fill all `size` bytes. */
typedef int (*pith_write_callback)(void *context, const void *data, size_t size);
typedef int (*pith_read_callback)(void *context, void *data, size_t size);

/* Writes tokens [0, upto) and their cache with an identity header and a checksum. Errors: ARGUMENT, EXECUTION (the writer
 * failed). */
PITH_API pith_status pith_sequence_export(pith_sequence *sequence, size_t upto, pith_write_callback write,
                                          void *context, pith_error *error);

/* A new sequence from an exported one; module as in pith_sequence_new. Errors: EXECUTION (the reader failed), FORMAT
 * (damaged), VERSION, MISMATCH (another model), LIMIT, MEMORY. */
PITH_API pith_status pith_sequence_import(pith_session *session, pith_module *module, pith_read_callback read,
                                          void *context, pith_sequence **sequence, pith_error *error);

/* ---- Taps, gates, adapters: what a lane may carry ---------------------------------------------------------- */

typedef struct pith_tap pith_tap;
typedef struct pith_gate pith_gate;
typedef struct pith_adapter pith_adapter;

/* Points of the residual stream, which runs through all blocks: in front of block `layer`; behind its attention's sum; behind
 * its MLP's sum (that is in front of the next block); behind the norm before the output layer. */
typedef uint32_t pith_tap_point;
enum { PITH_TAP_BLOCK_IN = 1, PITH_TAP_AFTER_ATTENTION, PITH_TAP_AFTER_MLP, PITH_TAP_AFTER_FINAL_NORM };

/* Rows of the lane, whether they give logits or not. RANGE and MEAN: [first_row, first_row + row_count), as far as the lane
 * has them; row_count 0: to the lane's end. MEAN: the mean over these rows of what `reduce` makes of each. */
typedef uint32_t pith_tap_rows;
enum { PITH_TAP_LAST = 1, PITH_TAP_RANGE, PITH_TAP_MEAN };

/* What is shown of a row: its hidden floats; one number, weights . row + bias; one number, the cosine between the row here
 * and the same row at the point before (0 where one of them is zero), so that sublayers that change little are near 1. */
typedef uint32_t pith_tap_reduce;
enum { PITH_TAP_WHOLE = 0, PITH_TAP_DOT, PITH_TAP_COSINE_PREVIOUS };

/* Which hidden state to show. A tap never changes: one serves any number of lanes and steps, any thread, any time. A
 * step without taps costs nothing for them. */
typedef struct pith_tap_options {
  uint32_t struct_size;
  pith_tap_point point;
  uint32_t layer; /* ignored after the final norm */
  pith_tap_rows rows;
  uint32_t first_row, row_count;
  pith_tap_reduce reduce;
  uint32_t weight_count; /* PITH_TAP_DOT: pith_step_info.hidden */
  const float *weights;  /* copied */
  float bias;
  uint32_t reserved;
} pith_tap_options;

/* A tap for lanes of this module, which it keeps alive. Errors: ARGUMENT (names the option that is out of range),
 * UNSUPPORTED (the module has no taps, or not this point: says which), MEMORY. */
PITH_API pith_status pith_tap_new(pith_module *module, const pith_tap_options *options, pith_tap **tap,
                                  pith_error *error);
PITH_API void pith_tap_free(pith_tap *tap);

typedef uint32_t pith_gate_policy;
enum { PITH_GATE_REBUILD = 1, PITH_GATE_MASK = 2, PITH_GATE_FORBID = 3 };

/* Which sublayers run: bit 2*i the attention, bit 2*i+1 the MLP of layer i, lowest bit first. The policy says what happens
 * to cache that was written under another gate. Errors: ARGUMENT, UNSUPPORTED. */
PITH_API pith_status pith_gate_new(pith_module *module, const uint8_t *bits, size_t bit_count, pith_gate_policy policy,
                                   pith_gate **gate, pith_error *error);
PITH_API void pith_gate_free(pith_gate *gate);

typedef uint32_t pith_kv_effect;
enum { PITH_KV_EFFECT_OWN = 1, PITH_KV_EFFECT_BASE = 2 }; /* does the adapter change keys and values? */

/* Errors: IO, FORMAT, MISMATCH, UNSUPPORTED. */
PITH_API pith_status pith_adapter_load(pith_module *module, const char *path, pith_adapter **adapter,
                                       pith_error *error);
PITH_API void pith_adapter_free(pith_adapter *adapter);
/* 0 for null. */
PITH_API pith_kv_effect pith_adapter_kv_effect(const pith_adapter *adapter);

/* ---- Steps ---------------------------------------------------------------------------------------------- */

/* Which of a lane's rows give logits. Row i is the one that read token i and predicts token i + 1. */
typedef uint32_t pith_rows;
enum { PITH_ROWS_LAST = 0, PITH_ROWS_NONE = 1, PITH_ROWS_ALL = 2, PITH_ROWS_LIST = 3 };

/* WRITE: the lane's tokens become the sequence's. READ_ONLY: they are computed after the sequence's tokens, and the
 * sequence stays as it is. WRITE_FOR_LANE: their keys and values are lane `kv_lane`'s, too. */
typedef uint32_t pith_kv_mode;
enum { PITH_KV_WRITE = 0, PITH_KV_READ_ONLY = 1, PITH_KV_WRITE_FOR_LANE = 2 };

enum {
  PITH_LANE_SCORE = 1 /* also the log-probability of every token of the lane but the first, given those before it;
                         see pith_result_scores. Needs no room for the rows' logits. */
};

typedef struct pith_lane {
  uint32_t struct_size;
  uint32_t flags;                /* PITH_LANE_... */
  pith_sequence *sequence;       /* at most one lane per sequence in a step */
  const int32_t *tokens;         /* token_count new tokens, at least 1; null with embeddings */
  size_t token_count;
  pith_rows rows;
  uint32_t reserved;
  const uint32_t *row_list;      /* PITH_ROWS_LIST: row_count ascending rows of the lane */
  size_t row_count;
  /* [token_count, pith_step_info.embedding] in place of tokens' rows of the embedding table, before any scale that the
   * model gives those; may be null. They count as tokens (-1) of the sequence, are no cached prefix for others, and
   * have no scores. */
  const float *embeddings;
  const pith_adapter *adapter;   /* may be null */
  const pith_gate *gate;         /* may be null */
  const pith_tap *const *taps;   /* may be null */
  size_t tap_count;
  pith_kv_mode kv_mode;
  uint32_t kv_lane;              /* PITH_KV_WRITE_FOR_LANE */
} pith_lane;

typedef struct pith_step_options {
  uint32_t struct_size;
  uint32_t chunk_rows; /* most rows at once; 0: the module's max_rows. Smaller chunks make cancel act sooner. */
  /* Called after every chunk on the calling thread, may be null; non-zero cancels. Of this session it may only call
   * pith_session_cancel. */
  int (*progress)(void *context, size_t rows_done, size_t rows_total);
  void *progress_context;
} pith_step_options;

/* Gives every lane's tokens to its sequence. The lanes' wanted rows, lane after lane, become the rows of `result` (may
 * be null when no lane wants any). All lanes or none: after an error every sequence has its old tokens, and the
 * result has no rows. options may be null. Errors: ARGUMENT (token outside the vocabulary, sequence of another
 * session or twice in the step, …), LIMIT (page limit; last position), CANCELLED, UNSUPPORTED, MEMORY, EXECUTION. */
PITH_API pith_status pith_step(pith_session *session, const pith_lane *lanes, size_t lane_count,
                               const pith_step_options *options, pith_result *result, pith_error *error);

/* ---- Results -------------------------------------------------------------------------------------------- */

/* An empty result for steps and invokes of this session. Errors: MEMORY. */
PITH_API pith_status pith_result_new(pith_session *session, pith_result **result, pith_error *error);
PITH_API void pith_result_free(pith_result *result);

/* Rows of the last step; 0 after an invoke, a failure, for null. */
PITH_API size_t pith_result_rows(const pith_result *result);

/* The rows of one lane: *first (may be null), returns how many. */
PITH_API size_t pith_result_lane_rows(const pith_result *result, size_t lane, size_t *first);

/* The row's logits, vocab floats, until the next call that fills this result; null when there is no such row. Where the
 * session computes on a device, the logits of a step stay there, and the first call that reads a row brings it to
 * the host; it waits for calls on the session, and null (from others DEVICE or MEMORY) says that it failed. */
PITH_API const float *pith_result_logits(const pith_result *result, size_t row);

/* Logits of some tokens only. Errors: ARGUMENT (row, token out of range). */
PITH_API pith_status pith_result_logits_for(const pith_result *result, size_t row, const int32_t *tokens, size_t count,
                                            float *logits, pith_error *error);

/* The k most likely tokens, most likely first (equal logits: lower token first), and their log-probabilities (may be
 * null). Errors: ARGUMENT (row; k is 0 or above vocab). */
PITH_API pith_status pith_result_top_k(const pith_result *result, size_t row, size_t k, int32_t *tokens,
                                       float *logprobs, pith_error *error);

/* Errors: ARGUMENT (row, token out of range). */
PITH_API pith_status pith_result_logprob(const pith_result *result, size_t row, int32_t token, float *logprob,
                                         pith_error *error);

typedef struct pith_confidence {
  uint32_t struct_size;
  int32_t token;     /* the most likely token */
  float probability; /* its probability */
  float margin;      /* probability of the first minus that of the second */
  float entropy;     /* natural logarithm */
  float logit_margin;/* logit of the first minus that of the second */
} pith_confidence;

/* Errors: ARGUMENT (row out of range). */
PITH_API pith_status pith_result_confidence(const pith_result *result, size_t row, pith_confidence *confidence,
                                            pith_error *error);

/* A lane's scores (PITH_LANE_SCORE): entry i is the log-probability of the lane's token i + 1. *count (may be null) is
 * one less than its tokens. Until the next call that fills this result; null when there are none. */
PITH_API const float *pith_result_scores(const pith_result *result, size_t lane, size_t *count);

/* What tap `tap` of lane `lane` saw: *count (may be null) floats, row after row; none when the lane had none of the
 * tap's rows. Until the next call that fills this result. Errors: ARGUMENT (lane, tap out of range). */
PITH_API pith_status pith_result_tap(const pith_result *result, size_t lane, size_t tap, const float **values,
                                     size_t *count, pith_error *error);

/* ---- Sampling ------------------------------------------------------------------------------------------- */

typedef struct pith_sampler pith_sampler;

typedef struct pith_sampler_options {
  uint32_t struct_size;
  float temperature;          /* 0: the most likely token (equal logits: the lowest) */
  uint32_t top_k;             /* 0: all */
  float top_p;                /* 0 or 1: all */
  float min_p;                /* 0: all */
  float typical_p;            /* 0 or 1: all */
  float repetition_penalty;   /* 0 or 1: none */
  float frequency_penalty;    /* 0: none */
  float presence_penalty;     /* 0: none */
  uint32_t penalty_window;    /* last tokens that penalties look at; 0: all */
  uint64_t seed;              /* random numbers depend on seed, branch and position only */
  const int32_t *bias_tokens; /* bias_count tokens whose logits are changed; may be null; copied */
  const float *bias_values;
  size_t bias_count;
  /* Grammar hook, may be null: sets the logits of forbidden tokens to -INFINITY. Called by the thread that samples. */
  void (*mask)(void *context, const int32_t *history, size_t history_count, float *logits, size_t vocab);
  void *mask_context;
} pith_sampler_options;

/* options may be null: greedy. Errors: ARGUMENT (names the option that is out of range), MEMORY. */
PITH_API pith_status pith_sampler_new(const pith_sampler_options *options, pith_sampler **sampler, pith_error *error);
PITH_API void pith_sampler_free(pith_sampler *sampler);

/* One token to draw. */
typedef struct pith_draw {
  uint32_t struct_size;
  uint32_t row;                /* of the result */
  const int32_t *history;      /* tokens that penalties and the mask see; null: those of `sequence`, without its
                                  embedding rows */
  size_t history_count;
  const pith_sequence *sequence; /* may be null: no history */
  uint64_t position;           /* 0: the position that the drawn token will have */
  uint32_t branch;             /* keeps forks with the same seed apart */
  uint32_t reserved;
} pith_draw;

/* Draws a token for each of `count` rows; the result's logits do not change. On a device the draw is made there, and waits
 * for calls on the session, unless it takes typical_p, penalties, biases or a mask: then the rows come to the host.
 * Errors: ARGUMENT (row out of range), EXECUTION (every token is masked, or logits are not numbers), MEMORY, DEVICE. */
PITH_API pith_status pith_sample(pith_sampler *sampler, const pith_result *result, const pith_draw *draws,
                                 size_t count, int32_t *tokens, pith_error *error);

/* The same on logits from anywhere. history may be null when history_count is 0. */
PITH_API pith_status pith_sample_logits(pith_sampler *sampler, const float *logits, size_t vocab,
                                        const int32_t *history, size_t history_count, uint32_t branch,
                                        uint64_t position, int32_t *token, pith_error *error);

/* ---- Verifying drafts ----------------------------------------------------------------------------------- */

typedef uint32_t pith_verify_kind;
enum { PITH_VERIFY_GREEDY = 1, PITH_VERIFY_EXACT, PITH_VERIFY_TOP_K, PITH_VERIFY_RELAXED, PITH_VERIFY_TYPICAL,
       PITH_VERIFY_LINEAR_JUDGE };

typedef struct pith_verify_options {
  uint32_t struct_size;
  pith_verify_kind kind;
  pith_sampler *sampler;       /* EXACT: the target's law */
  uint32_t k;                  /* TOP_K, RELAXED */
  float delta;                 /* RELAXED */
  float threshold;             /* TYPICAL, LINEAR_JUDGE */
  uint32_t weight_count;       /* LINEAR_JUDGE */
  const float *weights;
  float bias;
} pith_verify_options;

typedef struct pith_verdict {
  uint32_t struct_size;
  uint32_t exact;      /* accepted tokens that the target's own law accepts */
  uint32_t lossy;      /* accepted by a relaxed rule only */
  int32_t correction;  /* the token after the accepted ones; -1: none */
} pith_verdict;

/* Checks `count` draft tokens (draft_probs, [count, vocab], may be null: a deterministic drafter) in one step and keeps
 * the accepted ones in the sequence. Errors: as pith_step. */
PITH_API pith_status pith_verify(pith_sequence *sequence, const int32_t *draft, size_t count, const float *draft_probs,
                                 const pith_verify_options *options, pith_verdict *verdict, pith_error *error);

/* ---- Stop strings --------------------------------------------------------------------------------------- */

typedef struct pith_stops pith_stops;

/* A set of byte strings to look for in a stream, `count` of them with their sizes (none empty). Errors: ARGUMENT, MEMORY. */
PITH_API pith_status pith_stops_new(const char *const *strings, const size_t *sizes, size_t count, pith_stops **stops,
                                    pith_error *error);
PITH_API void pith_stops_free(pith_stops *stops);

typedef struct pith_stop_match {
  uint32_t struct_size;
  uint32_t string; /* which string */
  size_t end;      /* bytes of this piece up to the match's end */
  size_t length;   /* bytes of the string; it may have begun in an earlier piece */
} pith_stop_match;

/* Follows the stream by one piece. *state is 0 at the stream's beginning and belongs to the caller (copy it to fork).
 * Returns 1 at the first match (the longest string that ends there), with *match filled (may be null) and the state
 * reset; else 0. *held (may be null): how many of the last bytes may still begin a match and should not be shown
 * yet. */
PITH_API int pith_stops_feed(const pith_stops *stops, uint32_t *state, const char *bytes, size_t size,
                             pith_stop_match *match, size_t *held);

/* ---- Any graph ------------------------------------------------------------------------------------------ */

/* Runs an INVOKE entry (null: the module's only one) on named or positional inputs, every input exactly once; the outputs
 * are in `result`. module null: the session's only one. Errors: NOT_FOUND, SHAPE (names the input, what was found
 * and what was expected), ARGUMENT, EXECUTION, MEMORY, CANCELLED. */
PITH_API pith_status pith_invoke(pith_session *session, pith_module *module, const char *entry,
                                 const pith_tensor *inputs, size_t input_count, pith_result *result,
                                 pith_error *error);

/* Outputs of the last invoke; 0 after a step, a failure, for null. */
PITH_API size_t pith_result_output_count(const pith_result *result);

/* Output by index, or by name. Data and dims live until the next call that fills this result. Errors: ARGUMENT,
 * NOT_FOUND. */
PITH_API pith_status pith_result_output(const pith_result *result, size_t index, pith_tensor *tensor,
                                        pith_error *error);
PITH_API pith_status pith_result_output_named(const pith_result *result, const char *name, pith_tensor *tensor,
                                              pith_error *error);

#ifdef __cplusplus
} /* extern "C" */

template <typename T> inline T pith_init_() {
  T value{};
  value.struct_size = sizeof(T);
  return value;
}
#endif
#endif /* PITH_RUNTIME_H */
