// RUN: pith-opt %s -convert-pith-to-linalg -canonicalize -cse | FileCheck %s

// Weights that tensor code reads are packed as they are seen, in f32, in order of use.
// CHECK-DAG: pith.packed @w_plain [@w] {element = f32, kind = "plain"} at 0 size 2048
// CHECK-DAG: pith.packed @table_plain [@table] {element = f32, kind = "plain"} at 2048 size 4096
pith.weight @w : tensor<64x8xf16> = dense<1.0> : tensor<64x8xf16>
pith.weight @table : tensor<64x16xf32> = dense<1.0> : tensor<64x16xf32>

// CHECK-LABEL: func @linear
// CHECK: %[[A:.*]] = pith.packed_address @w_plain : memref<64x8xf32>
// CHECK: bufferization.to_tensor %[[A]] restrict
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]
func.func @linear(%x: tensor<?x8xf32>) -> tensor<?x64xf32> {
  %y = pith.linear %x, [@w] : tensor<?x8xf32> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// CHECK-LABEL: func @embedding
// CHECK: pith.packed_address @table_plain
// CHECK: tensor.extract
func.func @embedding(%i: tensor<?xi64>) -> tensor<?x16xf32> {
  %y = pith.embedding %i, @table : tensor<?xi64> -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// CHECK-LABEL: func @rms_norm
// CHECK: "reduction"
// CHECK: math.sqrt
func.func @rms_norm(%x: tensor<?x16xf32>, %s: tensor<16xf32>) -> tensor<?x16xf32> {
  %y = pith.rms_norm %x, %s {epsilon = 1.0e-5 : f32} : tensor<?x16xf32>, tensor<16xf32>
  return %y : tensor<?x16xf32>
}

// CHECK-LABEL: func @attention
// Scores, then the weighted sum of values; nothing is transposed.
// CHECK: iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "reduction"]
// CHECK: math.exp
// CHECK: iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "parallel"]
// CHECK-NOT: linalg.transpose
func.func @attention(%q: tensor<?x?x16xf32>, %k: tensor<?x?x8xf32>, %v: tensor<?x?x8xf32>) -> tensor<?x?x16xf32> {
  %y = pith.attention %q, %k, %v {heads = 4 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32> -> tensor<?x?x16xf32>
  return %y : tensor<?x?x16xf32>
}
