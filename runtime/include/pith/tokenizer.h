/* Text to token ids and back: the byte-pair-encoding tokenizers of Hugging Face's tokenizer.json.
 *
 * Supported: byte-level BPE (GPT-2, Llama 3, Qwen and their kin) and SentencePiece-style BPE with byte
 * fallback (Llama 2 and its kin), with the normalizers, pre-tokenizers, post-processors and decoders
 * these use. Anything else in a file is refused by name when it is loaded, never skipped. The fields
 * `truncation` and `padding` are not applied: lengths are the caller's business.
 *
 * Errors. A function that can fail returns a pith_tokenizer_status and, unless `message` is null,
 * writes a zero-terminated phrase of at most message_size bytes into it (an empty one on success).
 * Nothing is thrown and nothing aborts, whatever the file or the text holds.
 *
 * Threads. A tokenizer never changes after it was loaded: any number of threads may use it at once. A
 * detokenizer is used by one thread at a time.
 *
 * Texts are byte ranges, UTF-8, not zero-terminated; they may hold zero bytes.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#ifndef PITH_TOKENIZER_H
#define PITH_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pith_tokenizer pith_tokenizer;
typedef struct pith_detokenizer pith_detokenizer;

typedef enum pith_tokenizer_status {
  PITH_TOKENIZER_OK = 0,
  PITH_TOKENIZER_BAD_ARGUMENT = 1, /* a null pointer, an unknown flag, an id outside the vocabulary */
  PITH_TOKENIZER_IO = 2,           /* the file cannot be read */
  PITH_TOKENIZER_BAD_FILE = 3,     /* not JSON, or not a consistent tokenizer */
  PITH_TOKENIZER_UNSUPPORTED = 4,  /* a valid tokenizer of a kind that is not supported */
  PITH_TOKENIZER_BAD_TEXT = 5,     /* the text is not UTF-8, or is too long (2 GiB) */
  PITH_TOKENIZER_TOO_SMALL = 6,    /* the result does not fit; the size it needs was stored */
  PITH_TOKENIZER_NO_MEMORY = 7,
  PITH_TOKENIZER_INTERNAL = 8      /* a regular expression ran into its limits, or a fault of the library */
} pith_tokenizer_status;

/* ---- loading ---------------------------------------------------------------------------------- */

/* Loads a tokenizer.json. On success *tokenizer is the caller's, to be given to
 * pith_tokenizer_destroy; otherwise it is null. */
pith_tokenizer_status pith_tokenizer_load_file(const char *path, pith_tokenizer **tokenizer, char *message,
                                               size_t message_size);

/* The same from memory. Nothing of `json` is kept. */
pith_tokenizer_status pith_tokenizer_load_memory(const char *json, size_t json_size,
                                                 pith_tokenizer **tokenizer, char *message,
                                                 size_t message_size);

/* Accepts null. Detokenizers made from the tokenizer stay usable. */
void pith_tokenizer_destroy(pith_tokenizer *tokenizer);

/* ---- text to ids ------------------------------------------------------------------------------ */

enum {
  /* Adds what the file's post-processor adds, such as a begin-of-text token. */
  PITH_ENCODE_ADD_SPECIAL = 1u,
  /* Reads special tokens in the text as plain text: for text from people who must not be able to
   * forge, say, the end of a turn. */
  PITH_ENCODE_PLAIN = 2u
};

/* Writes the ids to ids[0 .. *count). If `capacity` is less than the number of ids, nothing is written
 * to ids, *count is the number needed and the status is PITH_TOKENIZER_TOO_SMALL; `ids` may be null if
 * capacity is 0. A first call with room for text_size + 16 ids nearly always fits (only normalizers and
 * post-processors can ask for more). */
pith_tokenizer_status pith_tokenizer_encode(const pith_tokenizer *tokenizer, const char *text,
                                            size_t text_size, uint32_t flags, int32_t *ids,
                                            size_t capacity, size_t *count, char *message,
                                            size_t message_size);

/* ---- ids to text ------------------------------------------------------------------------------ */

enum {
  /* Leaves special tokens out of the text. */
  PITH_DECODE_SKIP_SPECIAL = 1u,
  /* Gives the tokens' bytes as they are. Otherwise the text is always UTF-8: what is not becomes
   * U+FFFD, one for each maximal part of a broken character. */
  PITH_DECODE_BYTES = 2u,
  /* The ids continue an earlier text: the space that SentencePiece-style tokenizers drop at the front
   * of a text is kept. */
  PITH_DECODE_CONTINUE = 4u
};

/* Writes the text to text[0 .. *text_size), not zero-terminated; TOO_SMALL as for encode. */
pith_tokenizer_status pith_tokenizer_decode(const pith_tokenizer *tokenizer, const int32_t *ids,
                                            size_t count, uint32_t flags, char *text, size_t capacity,
                                            size_t *text_size, char *message, size_t message_size);

/* Decodes one id at a time. `flags` are the PITH_DECODE_* ones. On success *detokenizer is the
 * caller's, to be given to pith_detokenizer_destroy; otherwise it is null. */
pith_tokenizer_status pith_detokenizer_create(const pith_tokenizer *tokenizer, uint32_t flags,
                                              pith_detokenizer **detokenizer, char *message,
                                              size_t message_size);

/* Accepts null. */
void pith_detokenizer_destroy(pith_detokenizer *detokenizer);

/* Takes one id and gives the text that is certain by now: whole characters only; the first bytes of a
 * character are held back until its last ones have come. *text (never null on success, possibly of size
 * 0) belongs to the detokenizer and is valid until its next call. The texts of all calls, with that of
 * flush, are the text that pith_tokenizer_decode gives for all the ids. After an error the detokenizer
 * is as before the call. */
pith_tokenizer_status pith_detokenizer_push(pith_detokenizer *detokenizer, int32_t id, const char **text,
                                            size_t *text_size, char *message, size_t message_size);

/* Ends the text: a character still incomplete becomes U+FFFD. The detokenizer is then as new. */
pith_tokenizer_status pith_detokenizer_flush(pith_detokenizer *detokenizer, const char **text,
                                             size_t *text_size, char *message, size_t message_size);

/* Forgets the text so far. Accepts null. */
void pith_detokenizer_reset(pith_detokenizer *detokenizer);

/* ---- questions -------------------------------------------------------------------------------- */

/* The largest id plus one; 0 for null. Ids below it may be unused. */
int32_t pith_tokenizer_vocabulary_size(const pith_tokenizer *tokenizer);

/* The id of a token as it is written in the file ("Ġthe" for " the" in a byte-level vocabulary), or -1. */
int32_t pith_tokenizer_find(const pith_tokenizer *tokenizer, const char *token, size_t token_size);

/* The token as it is written in the file, not zero-terminated; null if the id is not in use. Belongs to
 * the tokenizer. */
const char *pith_tokenizer_token(const pith_tokenizer *tokenizer, int32_t id, size_t *token_size);

/* 1 if the id is a token marked special, else 0. */
int pith_tokenizer_is_special(const pith_tokenizer *tokenizer, int32_t id);

/* The begin-of-text and end-of-text ids, or -1. A tokenizer.json does not say which they are: these are
 * guesses from the post-processor (what it puts in front) and from the common names among the added
 * tokens. What a model's own configuration says takes precedence. */
int32_t pith_tokenizer_begin_id(const pith_tokenizer *tokenizer);
int32_t pith_tokenizer_end_id(const pith_tokenizer *tokenizer);

/* All tokens whose names are known to end a text or a turn ("</s>", "<|eot_id|>", "<|im_end|>", ...),
 * the one of pith_tokenizer_end_id first. Returns how many there are and writes at most `capacity`. */
size_t pith_tokenizer_end_ids(const pith_tokenizer *tokenizer, int32_t *ids, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif /* PITH_TOKENIZER_H */
