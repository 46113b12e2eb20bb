/* The face between generated code and the runtime.
 *
 * A .pith file is an ELF shared object that exports one symbol, `pith_executable`
 * (struct pith_exec_table). Everything generated code needs from the runtime reaches it
 * through struct pith_exec_context; everything the runtime needs from generated code stands
 * in the table. No other symbol crosses.
 *
 * Threads. Generated code runs as one team (SPMD): the runtime calls `run` once per thread with
 * the same context and thread = 0 .. threads-1, all at the same time. Phases are separated by
 * `barrier`, which every thread of the team calls equally often. With threads == 1 the barrier
 * may be called and returns at once.
 *
 * Devices. A table of version 2 has kernels: its code computes on a device. Then `run` is host code that one thread
 * calls (threads == 1, thread == 0). Everything the context points to as data (weights, workspace, tokens, positions,
 * pages, logits, …) is memory of the device, which that code never touches: it hands addresses to kernels with
 * `launch`, and asks for single values with `read`. The structs themselves (the context, `inputs`, `outputs`, their
 * dims, `taps`) are the host's. Launches run in the order in which they were made.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#ifndef PITH_EXECUTABLE_H
#define PITH_EXECUTABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PITH_EXEC_VERSION 1u
#define PITH_EXEC_DEVICE_VERSION 2u /* code for a device */

/* A dense row-major tensor; rank and element type are in the manifest. Elements of less than a byte take one each: an
 * integer its value, a float its code in the low bits. */
typedef struct pith_exec_tensor {
  void *data;          /* 64-byte aligned; may be null when the tensor has no elements */
  const int64_t *dims; /* rank entries */
} pith_exec_tensor;

/* One sequence's share of a step. Its rows are contiguous in the step's batch. */
typedef struct pith_exec_lane {
  uint32_t first_row;  /* index of its first row in the batch */
  uint32_t rows;       /* new tokens, at least 1 */
  uint32_t past;       /* tokens already in the sequence's cache */
  uint32_t page_count; /* pages in `pages`: at least ceil((past + rows) / page_tokens) */
  void *const *pages;  /* page i holds tokens [i*page_tokens, (i+1)*page_tokens) of all layers */
} pith_exec_lane;

/* A place where hidden states can be seen (the manifest's "taps"), and which of its rows are wanted. */
typedef struct pith_exec_tap {
  const int32_t *row_index; /* [rows], rows of the batch */
  float *out;               /* [rows, hidden] */
  uint32_t rows;            /* 0: none wanted */
  uint32_t reserved;
} pith_exec_tap;

/* One token to draw from a row of logits: of the logits divided by the temperature the top_k largest, of these the shortest
 * prefix by falling probability whose sum reaches top_p, of these those with at least min_p times the largest
 * probability; of what is left the first token, by number, at which the sum of probabilities passes `uniform` of their
 * total. Of equal logits the lower token counts as larger. */
typedef struct pith_exec_draw {
  uint32_t row;      /* of the logits */
  float temperature; /* above 0 */
  int32_t top_k;     /* 0: all */
  float top_p;       /* 1: all */
  float min_p;       /* 0: all */
  float uniform;     /* 0 to 1 */
} pith_exec_draw;

enum {
  PITH_EXEC_NOT_A_NUMBER = -1,  /* in place of a token: a logit of the row is not a number, or plus infinity */
  PITH_EXEC_NOTHING_ALLOWED = -2 /* all of them are minus infinity */
};

enum {
  PITH_EXEC_DETERMINISTIC = 1, /* a row's sums are formed in the same order whatever the number of rows and threads */
  PITH_EXEC_GREEDY = 2,        /* of PITH_EXEC_SAMPLE: the largest logits, of equal ones the lowest token */
  PITH_EXEC_WARP_GROUPS = 4    /* the image in use has kernels that need Hopper's warp groups */
};

typedef struct pith_exec_context {
  uint32_t struct_size; /* offset 0 */
  uint32_t threads;     /* 4: threads in the team, at least 1 */
  void (*barrier)(void *team, uint32_t thread); /* 8 */
  void *team;                                   /* 16 */
  const uint8_t *weights; /* 24: the mapped weight section, 4096-byte aligned */
  uint8_t *workspace;     /* 32: at least the bytes that `prepare` returned, 64-byte aligned */

  /* Entries of kind PITH_EXEC_STEP. */
  uint32_t rows;                /* 40: all lanes' new tokens together, at most the manifest's max_rows */
  uint32_t lanes;               /* 44 */
  uint32_t out_rows;            /* 48: rows whose logits are wanted */
  uint32_t flags;               /* 52: PITH_EXEC_... */
  const int32_t *tokens;        /* 56: [rows], already checked against the vocabulary */
  const int32_t *positions;     /* 64: [rows], absolute position in its own sequence */
  const pith_exec_lane *lane;   /* 72: [lanes] */
  const int32_t *out_row_index; /* 80: [out_rows], ascending rows of the batch */
  float *logits;                /* 88: [out_rows, vocab]; read by PITH_EXEC_SAMPLE, with as many rows as draws ask for */

  /* Entries of kind PITH_EXEC_INVOKE. */
  const pith_exec_tensor *inputs;  /* 96 */
  const pith_exec_tensor *outputs; /* 104: data and dims as `prepare` announced them */

  /* Entries of kind PITH_EXEC_STEP. Read only where struct_size reaches that far. */
  const pith_exec_tap *taps;            /* 112: one per place that the manifest names, or null: none wanted */
  const float *const *embedding_rows;   /* 120: [rows], a row's hidden floats to take for its token's embedding, or
                                           null where the token counts; or null: no row has any */

  /* Entries of kind PITH_EXEC_INVOKE, for sizes that only the run finds out. Every thread of the team makes
   * the same calls in the same order with the same arguments; each call separates phases as `barrier` does.
   * None of them returns when it fails: the run is over then, with an error. */
  void *(*allocate)(const struct pith_exec_context *context, uint32_t thread, int64_t bytes); /* 128: 64-byte
                                                     aligned, never null, released at the end of the run */
  void (*release)(const struct pith_exec_context *context, uint32_t thread, void *memory); /* 136: earlier */
  /* 144: the memory of an output for which `prepare` announced a dimension of -1 */
  void *(*give_output)(const struct pith_exec_context *context, uint32_t thread, uint32_t output,
                       const int64_t *dims);
  /* 152: ends the run; the message stays valid as long as the module does */
  void (*fail)(const struct pith_exec_context *context, uint32_t thread, const char *message);
  void *run; /* 160: the runtime's */

  /* 168: entries of kind PITH_EXEC_STEP beside one of kind PITH_EXEC_CONDITION: [lanes], the condition of each lane's
   * sequence: `past` rows of it lie in `pages`; first_row and rows are 0. */
  const pith_exec_lane *conditions;
  /* 176: entries of kind PITH_EXEC_CONDITION: [rows, width], rows of the encoder's output. `rows`, `positions`, `lane`
   * and `lanes` are as for a step, with the condition's pages. */
  const float *condition_rows;

  /* Code for a device only (`lane` and `conditions` are arrays on the device, their pages' addresses too). */
  /* 184: starts one of the table's kernels on grid[0] x grid[1] x grid[2] blocks; arguments[i] points to argument i,
   * on the host, and is read before the call returns. A grid without blocks does nothing. Does not return when it
   * fails: the run is over then, with an error. */
  void (*launch)(const struct pith_exec_context *context, uint32_t kernel, const uint32_t *grid,
                 void *const *arguments);
  /* 192: waits for all launches and copies `bytes` of the device's memory to the host. Does not return when it fails.
   * Only entries of kind PITH_EXEC_INVOKE call it, so that the launches of others can be recorded once and repeated:
   * they depend on rows, lanes, out_rows, flags, and the pointers and counts in the context and its taps. */
  void (*read)(const struct pith_exec_context *context, const void *data, void *to, uint64_t bytes);
  const int32_t *row_lanes; /* 200: [rows], the lane that each row belongs to */

  /* Entries of kind PITH_EXEC_SAMPLE: out_rows tokens are drawn from `logits`, of whose vocab they are sure. */
  const pith_exec_draw *draws; /* 208: [out_rows] */
  int32_t *drawn;              /* 216: [out_rows], tokens or PITH_EXEC_NOT_A_NUMBER, PITH_EXEC_NOTHING_ALLOWED */
} pith_exec_context;

enum {
  PITH_EXEC_INVOKE = 1,
  PITH_EXEC_STEP = 2,
  PITH_EXEC_CONDITION = 3, /* makes a sequence's condition, which its steps read */
  PITH_EXEC_SAMPLE = 4     /* draws tokens from logits of the step; at most one, of code for a device, which the manifest
                              does not name: a runtime that does not know it draws on the host */
};

/* One entry point. */
typedef struct pith_exec_entry {
  const char *name;
  uint32_t kind;
  uint32_t reserved;
  /* Returns the workspace bytes that `run` needs for this context; a negative number when the inputs lead to a size
   * that is negative or beyond any memory, and `run` must not be called. For INVOKE it also writes every output's
   * dims, one output after the other, to output_dims. It reads inputs[i].dims, and single elements of integer
   * inputs that sizes follow from. A dimension of -1 depends on data: `run` asks for that output's memory
   * itself, by `give_output`; another negative one is impossible. Called by one thread before the team starts. */
  int64_t (*prepare)(const pith_exec_context *context, int64_t *output_dims);
  void (*run)(const pith_exec_context *context, uint32_t thread);
} pith_exec_entry;

/* A kernel of a device: the same in every image that has it. */
typedef struct pith_exec_kernel {
  const char *name;              /* its symbol in the images */
  const char *origin;            /* the operation it computes, for messages; may be empty */
  uint32_t block[3];             /* threads of a block */
  uint32_t shared_bytes;         /* dynamic shared memory of a block */
  uint32_t argument_count;
  uint32_t needs;                /* 0, or PITH_EXEC_WARP_GROUPS: images without it do not have the kernel */
  const uint8_t *argument_bytes; /* [argument_count]: 4 or 8 */
} pith_exec_kernel;

enum {
  PITH_EXEC_IMAGE_PTX = 1,     /* text for the driver's own compiler, a zero behind it (not counted) */
  PITH_EXEC_IMAGE_CUBIN = 2,
  PITH_EXEC_IMAGE_HSACO = 3,
  PITH_EXEC_IMAGE_EMULATED = 4 /* a pith_emu_module (emulated.h) of host code */
};

/* All kernels for one chip. */
typedef struct pith_exec_image {
  const char *target; /* "cuda:sm_90a", "hip:gfx942"; of an emulated image the chip that it imitates */
  uint32_t format;    /* PITH_EXEC_IMAGE_... */
  uint32_t has;       /* 0, or PITH_EXEC_WARP_GROUPS: also among the context's flags */
  const void *data;
  uint64_t size;
} pith_exec_image;

typedef struct pith_exec_table {
  uint32_t version; /* PITH_EXEC_VERSION, or PITH_EXEC_DEVICE_VERSION: the fields behind `entries` are there */
  uint32_t entry_count;
  const pith_exec_entry *entries;
  uint32_t kernel_count;
  uint32_t image_count;
  const pith_exec_kernel *kernels;
  const pith_exec_image *images;
} pith_exec_table;

/* The exported symbol: `extern const pith_exec_table pith_executable;` */
#define PITH_EXEC_SYMBOL "pith_executable"

/* A whole model inside a program: what `pith compile --emit=obj` writes under the model's name. */
typedef struct pith_embedded {
  uint32_t struct_size;
  uint32_t version; /* PITH_EXEC_VERSION */
  const pith_exec_table *table;
  const uint8_t *weights; /* 4096-byte aligned, read-only */
  uint64_t weights_size;
  uint64_t weights_checksum; /* as in file.h */
  const char *manifest;      /* a zero behind it */
  uint64_t manifest_size;
  uint64_t manifest_checksum;
  uint64_t code_checksum; /* over the object file that the code came in */
} pith_embedded;

#ifdef __cplusplus
}
#endif
#endif /* PITH_EXECUTABLE_H */
