// RUN: pith-opt %s -verify-diagnostics -pass-pipeline="builtin.module(gpu.module(pith-split-gpu{target=hip:gfx1100}))"

gpu.module @kernels {
  gpu.func @exchange(%p: !llvm.ptr<1>) kernel {
    %c32 = arith.constant 32 : i32
    %c64 = arith.constant 64 : i32
    %v = llvm.load %p : !llvm.ptr<1> -> f32
    // expected-error @below {{should be an xor with a constant of 1 to 31 within 32 lanes}}
    %a, %x = gpu.shuffle xor %v, %c32, %c64 : f32
    llvm.store %a, %p : f32, !llvm.ptr<1>
    gpu.return
  }
}
