// RUN: not pith-opt %s -pith-build-kernels 2>&1 | FileCheck %s
// CHECK: error: 'k' in {{.*}} should be an integer of at least 1
module attributes {pith.machine = {cpu = "x86-64-v4", features = "+avx512f", vector_bytes = 64 : i64}} {
  func.func private @norm_0(!llvm.ptr) attributes {pith.kernel = {kind = "norm", norm = "rms", k = 0 : i64, epsilon = 1.0e-5 : f32}}
}
