// RUN: pith-opt %s -pass-pipeline="builtin.module(gpu.module(pith-split-gpu{target=cuda:sm_80}))" | FileCheck %s --check-prefix=CUDA
// RUN: pith-opt %s -pass-pipeline="builtin.module(gpu.module(pith-split-gpu{target=hip:gfx1100}))" | FileCheck %s --check-prefix=HIP

// CUDA: gpu.module @kernels attributes {pith.subgroup = 32 : i32}
// HIP: gpu.module @kernels attributes {pith.subgroup = 32 : i32}
gpu.module @kernels {
  // CUDA-LABEL: gpu.func @exchange
  // HIP-LABEL: gpu.func @exchange
  gpu.func @exchange(%p: !llvm.ptr<1>) kernel {
    %c2 = arith.constant 2 : i32
    %c16 = arith.constant 16 : i32
    %c32 = arith.constant 32 : i32
    %v = llvm.load %p : !llvm.ptr<1> -> f32
    // CUDA: nvvm.shfl.sync bfly
    // Within four lanes by DPP: [2, 3, 0, 1] is 78.
    // HIP: rocdl.update.dpp {{.*}} with 78, 15, 15, true : i32
    %a, %x = gpu.shuffle xor %v, %c2, %c32 : f32
    // 16 << 10 | 31
    // HIP: %[[MODE:.*]] = arith.constant 16415 : i32
    // HIP: rocdl.ds_swizzle %{{.*}}, %[[MODE]] : (i32, i32) -> i32
    // CUDA: nvvm.shfl.sync bfly
    %b, %y = gpu.shuffle xor %a, %c16, %c32 : f32
    // CUDA-NOT: gpu.shuffle
    // HIP-NOT: gpu.shuffle
    llvm.store %b, %p : f32, !llvm.ptr<1>
    gpu.return
  }
}
