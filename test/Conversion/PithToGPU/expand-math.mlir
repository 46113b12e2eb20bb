// RUN: pith-opt %s -split-input-file -verify-diagnostics -pass-pipeline='builtin.module(gpu.module(pith-expand-gpu-math))' | FileCheck %s

// CHECK-LABEL: gpu.module @kernels
// CHECK-NOT: math.
// CHECK: llvm.intr.roundeven(%{{.*}}) : (f64) -> f64
// CHECK-NOT: math.
// CHECK: llvm.intr.floor
// CHECK-NOT: math.
gpu.module @kernels {
  gpu.func @functions(%p: !llvm.ptr<1>) kernel {
    %x = llvm.load %p : !llvm.ptr<1> -> f32
    %sine = math.sin %x : f32
    %cosine = math.cos %sine : f32
    %power = math.exp %cosine : f32
    %error = math.erf %power : f32
    %tangent = math.tanh %error : f32
    %log = math.log10 %tangent : f32
    %floor = math.floor %log : f32
    %half = arith.truncf %floor : f32 to f16
    %root = math.rsqrt %half : f16
    %base = math.powf %root, %half : f16
    llvm.store %base, %p : f16, !llvm.ptr<1>
    gpu.return
  }
}

// -----

// Of f64 too: series in f64, the rest of an error function in loops.
// CHECK-LABEL: gpu.func @wide
// CHECK-NOT: math.
// CHECK-NOT: f32
// CHECK: scf.for
// CHECK-NOT: math.
// CHECK: gpu.return
gpu.module @kernels {
  gpu.func @wide(%p: !llvm.ptr<1>) kernel {
    %x = llvm.load %p : !llvm.ptr<1> -> f64
    %error = math.erf %x : f64
    %sine = math.sin %error : f64
    %log = math.log1p %sine : f64
    %power = math.expm1 %log : f64
    %tangent = math.tan %power : f64
    %base = math.powf %tangent, %x : f64
    %arc = math.acos %base : f64
    %two = math.log2 %arc : f64
    llvm.store %two, %p : f64, !llvm.ptr<1>
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @none(%p: !llvm.ptr<1>) kernel {
    %x = llvm.load %p : !llvm.ptr<1> -> f64
    // expected-error @+1 {{has no form in a kernel for 'f64'}}
    %root = math.cbrt %x : f64
    llvm.store %root, %p : f64, !llvm.ptr<1>
    gpu.return
  }
}
