// RUN: pith-opt %s -convert-pith-to-gpu | FileCheck %s
// RUN: pith-opt %s -convert-pith-to-gpu=exact=false | FileCheck %s --check-prefix=BALANCED
// RUN: pith-opt %s -convert-pith-to-cpu=cpu=x86-64-v4 | FileCheck %s --check-prefix=CPU

// Attention over tensors is a kernel on a GPU; a CPU has none.
// CHECK-LABEL: func @masked(
// The mask is the same for all heads and queries: steps of 0, and 1 from token to token.
// CHECK: pith.launch @attention_0(%{{.*}}) outputs [1] : (tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x1x1x?xf32>, index, index, index, index, index, index, index) -> tensor<?x64xf32>
// CHECK-LABEL: func @halves(
// CHECK: pith.attention
// CHECK: func private @attention_0({{.*}}) attributes {pith.kernel = {bias = 0 : i64, causal, element = "f32", {{.*}}heads = 4 : i64, {{.*}}kind = "attention", kv_heads = 2 : i64, {{.*}}mask = "add", {{.*}}parts = 3 : i64, product = "bf16", {{.*}}strides = array<i64: 0, 1, 2, 3>, tensors,
// BALANCED: parts = 1 : i64, product = "f16"
// CPU-LABEL: func @masked(
// CPU: pith.attention
func.func @masked(%q: tensor<?x?x64xf32>, %k: tensor<?x?x32xf32>, %v: tensor<?x?x32xf32>, %m: tensor<?x1x1x?xf32>) -> tensor<?x?x64xf32> {
  %o = pith.attention %q, %k, %v mask %m : tensor<?x1x1x?xf32> {heads = 4 : i64, kv_heads = 2 : i64, scale = 0.25 : f32, causal}
    : tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32> -> tensor<?x?x64xf32>
  return %o : tensor<?x?x64xf32>
}

// Other elements have no kernel yet.
func.func @halves(%q: tensor<1x8x64xf16>, %k: tensor<1x8x32xf16>, %v: tensor<1x8x32xf16>) -> tensor<1x8x64xf16> {
  %o = pith.attention %q, %k, %v {heads = 4 : i64, kv_heads = 2 : i64, scale = 0.25 : f32}
    : tensor<1x8x64xf16>, tensor<1x8x32xf16>, tensor<1x8x32xf16> -> tensor<1x8x64xf16>
  return %o : tensor<1x8x64xf16>
}
