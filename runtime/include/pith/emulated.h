/* The face between GPU kernels that were compiled for the host and the emulator that runs them.
 *
 * A kernel is a host function that is called once per GPU thread, on a stack of its own. What only the device can
 * do goes through two functions of the thread's call table: `access` before every load, store and atomic of global or
 * shared memory, and `operate` for everything that involves other threads or asynchronous units. Neither returns when
 * it finds an error: the thread is left where it is, and the launch fails with the message.
 *
 * `operate` gets a code (operation | immediates << 16) and a frame of 32-bit words: first the words of the result, then
 * those of the operands, each operand starting at a word of its own; pointers and 64-bit integers take two.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#ifndef PITH_EMULATED_H
#define PITH_EMULATED_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PITH_EMULATED_VERSION 1u

struct pith_emu_thread;

/* How an access goes: its alignment in bits 0-15, then flags. */
enum {
  PITH_EMU_WRITE = 1 << 16,
  PITH_EMU_ATOMIC = 1 << 17,
  PITH_EMU_SHARED = 1 << 18, /* a pointer to shared memory */
  PITH_EMU_GLOBAL = 1 << 19  /* a pointer to global memory; neither: a generic pointer */
};

typedef struct pith_emu_calls {
  void (*access)(struct pith_emu_thread *thread, const void *address, uint32_t bytes, uint32_t how,
                 uint32_t site);                                                              /* 0 */
  void (*operate)(struct pith_emu_thread *thread, uint64_t code, uint32_t *frame, uint32_t site); /* 8 */
} pith_emu_calls;

/* What a kernel knows of its place in the grid. */
typedef struct pith_emu_thread {
  const pith_emu_calls *calls; /* 0 */
  uint8_t *shared;             /* 8: the block's shared memory; its addresses on the device begin at 0 */
  uint32_t thread[3];          /* 16 */
  uint32_t block[3];           /* 28 */
  uint32_t block_size[3];      /* 40 */
  uint32_t grid_size[3];       /* 52 */
  uint32_t lane;               /* 64 */
  uint32_t warp;               /* 68 */
  uint32_t warp_size;          /* 72 */
  uint32_t shared_bytes;       /* 76 */
} pith_emu_thread;

/* Operations. `imm` is code >> 16. */
enum {
  /* All threads of the block; nothing in the frame. */
  PITH_EMU_BARRIER = 1,
  /* Named barrier: id, threads (0: the whole block). imm 1: arrives without waiting. */
  PITH_EMU_NAMED_BARRIER = 2,
  /* The warp's lanes of `mask`; memory before is visible behind. */
  PITH_EMU_WARP_BARRIER = 3,
  /* result: value (2), valid (1) | value (2), b, c, mask. imm: 0 idx, 1 up, 2 down, 3 bfly; c as in PTX. */
  PITH_EMU_SHUFFLE = 4,
  /* result: 1 | predicate, mask. imm: 0 any, 1 all, 2 uni, 3 ballot. */
  PITH_EMU_VOTE = 5,
  /* result: 2 | predicate. The active lanes, as AMD's ballot gives them. */
  PITH_EMU_BALLOT = 6,
  /* result: 1 | value, mask. imm: 0 add, 1 umin, 2 umax, 3 min, 4 max, 5 and, 6 or, 7 xor, 8 fmin, 9 fmax. */
  PITH_EMU_REDUX = 7,
  /* result: elected (1). */
  PITH_EMU_ELECT = 8,
  /* result: 1 | address, value. AMD's lane permutation through LDS. imm 1: pushes (ds_permute). */
  PITH_EMU_BPERMUTE = 9,
  /* result: 1 | value. imm: the offset field of ds_swizzle_b32. */
  PITH_EMU_SWIZZLE = 10,
  /* result: 1 | old, value. imm: control (9 bits), row mask (4), bank mask (4), bound control (1). */
  PITH_EMU_DPP = 11,
  /* result: 1 | old, value, select low, select high. imm: 0 permlane16, 1 permlanex16; +2 fetch inactive, +4 bound. */
  PITH_EMU_PERMLANE = 12,
  /* result: 1 | value, lane. */
  PITH_EMU_READLANE = 13,
  /* result: 1 | value; of the first active lane. */
  PITH_EMU_READFIRSTLANE = 14,

  /* Matrix operations. result: D | A, B, C (words). imm: m, n, k (8 bits each), type of A, of B, of C (4 bits each). */
  PITH_EMU_MMA = 16,
  PITH_EMU_MFMA = 17,
  /* imm also: bit 36 the form with half the elements (gfx12). */
  PITH_EMU_WMMA = 18,
  /* result: count words | address. imm: count (1, 2, 4), bit 8 transposed. */
  PITH_EMU_LDMATRIX = 19,
  /* result: D | C, A: a descriptor (2) or 4 words, descriptor of B (2), whether C counts (1).
   * imm: n / 8 (6 bits), types of A, B, D (4 each), bit 18 A in registers, bit 19 A is M-major, bit 20 B is N-major,
   * bit 21 A negated, bit 22 B negated. K is 32 bytes. */
  PITH_EMU_WGMMA = 20,
  PITH_EMU_WGMMA_FENCE = 21,
  PITH_EMU_WGMMA_COMMIT = 22,
  /* imm: groups that may be left. */
  PITH_EMU_WGMMA_WAIT = 23,

  /* Asynchronous copies. destination (2), source (2), bytes, source bytes. */
  PITH_EMU_COPY_ASYNC = 32,
  PITH_EMU_COPY_COMMIT = 33,
  /* imm: groups that may be left; 0xffff: everything, committed or not. */
  PITH_EMU_COPY_WAIT = 34,
  /* mbarrier (2), count. */
  PITH_EMU_MBARRIER_INIT = 36,
  /* mbarrier (2). */
  PITH_EMU_MBARRIER_INVALIDATE = 37,
  /* result: state (2) | mbarrier (2), count. imm 1: the count is bytes to expect, with one arrival. imm 2: bytes to
   * expect, without. */
  PITH_EMU_MBARRIER_ARRIVE = 38,
  /* result: done (1) | mbarrier (2), parity. */
  PITH_EMU_MBARRIER_WAIT_PARITY = 39,
  /* result: done (1) | mbarrier (2), state (2). */
  PITH_EMU_MBARRIER_WAIT_STATE = 40,
  /* destination (2), source (2), mbarrier (2), bytes. imm 0: global to shared; imm 1: shared to global, no mbarrier. */
  PITH_EMU_BULK_COPY = 41,
  /* shared (2), tensor map (2), mbarrier (2), coordinates. imm: rank; bit 8: shared to global, no mbarrier. */
  PITH_EMU_TENSOR_COPY = 42,
  PITH_EMU_BULK_COMMIT = 43,
  /* imm: groups that may be left; bit 16: only their reads must be over. */
  PITH_EMU_BULK_WAIT = 44,
  /* What was written by plain stores is visible to the asynchronous units behind it. */
  PITH_EMU_FENCE_ASYNC = 45,

  /* Lets other threads go on: in a loop that waits for them. */
  PITH_EMU_YIELD = 48,
  /* The kernel gives up. */
  PITH_EMU_TRAP = 49
};

/* Element types of matrix operations. */
enum {
  PITH_EMU_F16 = 0,
  PITH_EMU_BF16 = 1,
  PITH_EMU_TF32 = 2,
  PITH_EMU_F32 = 3,
  PITH_EMU_S8 = 4,
  PITH_EMU_U8 = 5,
  PITH_EMU_S4 = 6,
  PITH_EMU_U4 = 7,
  PITH_EMU_S32 = 8,
  PITH_EMU_E4M3 = 9,
  PITH_EMU_E5M2 = 10,
  PITH_EMU_E4M3_FNUZ = 11,
  PITH_EMU_E5M2_FNUZ = 12
};

/* What a tensor copy takes as its tensor map: up to five dimensions, the innermost first. */
typedef struct pith_emu_tensor_map {
  uint32_t magic; /* PITH_EMU_TENSOR_MAP */
  uint32_t rank;
  uint32_t element_bytes;
  uint32_t swizzle;    /* bytes: 0 (none), 32, 64, 128 */
  uint64_t base;       /* address in global memory */
  uint64_t sizes[5];   /* elements */
  uint64_t strides[4]; /* bytes, of dimensions 1 to 4 */
  uint32_t box[5];     /* elements that one copy moves */
  uint32_t reserved;
} pith_emu_tensor_map;

#define PITH_EMU_TENSOR_MAP 0x50414d54u

/* Where in a kernel an access or an operation comes from. */
typedef struct pith_emu_site {
  const char *op;       /* "llvm.load" */
  const char *location; /* as the IR has it, may be empty */
} pith_emu_site;

/* Called once per thread; `arguments` points to one pointer per kernel argument, as in CUDA. */
typedef void (*pith_emu_entry)(pith_emu_thread *thread, const void *const *arguments);

typedef struct pith_emu_kernel {
  const char *name;           /* 0 */
  pith_emu_entry entry;       /* 8 */
  const pith_emu_site *sites; /* 16 */
  uint32_t site_count;        /* 24 */
  uint32_t arguments;         /* 28 */
  uint32_t warp_size;         /* 32: 32 or 64 */
  uint32_t shared_bytes;      /* 36: dynamic shared memory, for a launch that does not say how much */
  uint32_t block_size[3];     /* 40: known block size, or zeros */
  uint32_t static_bytes;      /* 52: shared memory of the kernel's own variables, before the dynamic one */
  uint32_t reserved;
} pith_emu_kernel;

typedef struct pith_emu_module {
  uint32_t version; /* PITH_EMULATED_VERSION */
  uint32_t kernel_count;
  const pith_emu_kernel *kernels;
} pith_emu_module;

/* The exported symbol: `extern const pith_emu_module pith_emulated_module;` */
#define PITH_EMULATED_SYMBOL "pith_emulated_module"

#ifdef __cplusplus
}
#endif
#endif /* PITH_EMULATED_H */
