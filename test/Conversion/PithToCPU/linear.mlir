// RUN: pith-opt %s -convert-pith-to-cpu=cpu=x86-64-v4 -split-input-file | FileCheck %s

// A norm before and a residual sum behind run in the linear's kernel.
// CHECK-LABEL: pith.packed @w_packed [@w] {block = 0 : i64, format = "f16", k = 64 : i64, kind = "linear", n = 128 : i64} at 0
// CHECK: func @main
// CHECK-NOT: pith.rms_norm
// CHECK: %[[W:.*]] = pith.packed_address @w_packed : memref<16384xi8>
// CHECK: %[[Y:.*]]:2 = pith.launch @linear_0(%{{.*}}, %[[W]], %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) outputs [2, 3]
// CHECK: return %[[Y]]#0
// CHECK: func private @linear_0(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, i64)
// CHECK-SAME: activation = "none"
// CHECK-SAME: kind = "linear"
// CHECK-SAME: norm = "rms"
// CHECK-SAME: residual
pith.weight @w : tensor<128x64xf16> = dense<1.0> : tensor<128x64xf16>
func.func @main(%x: tensor<?x64xf32>, %r: tensor<?x128xf32>, %s: tensor<64xf32>) -> tensor<?x128xf32> {
  %n = pith.rms_norm %x, %s {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32>
  %y = pith.linear %n, [@w] : tensor<?x64xf32> -> tensor<?x128xf32>
  %z = arith.addf %r, %y : tensor<?x128xf32>
  return %z : tensor<?x128xf32>
}

// -----

// Gate and up become one kernel, in this order whatever the model's; panels alternate between them.
// CHECK: pith.packed @gate_packed [@gate, @up] {{{.*}}glu, k = 64 : i64, kind = "linear", n = 256 : i64}
// CHECK-LABEL: func @gated
// CHECK: pith.launch @linear_0
// CHECK-NOT: pith.glu
// CHECK: activation = "silu"
// CHECK-SAME: glu
pith.weight @gate : tensor<128x64xf32> = dense<1.0> : tensor<128x64xf32>
pith.weight @up : tensor<128x64xf32> = dense<2.0> : tensor<128x64xf32>
func.func @gated(%x: tensor<?x64xf32>) -> tensor<?x128xf32> {
  %c0 = arith.constant 0 : index
  %d = tensor.dim %x, %c0 : tensor<?x64xf32>
  %y = pith.linear %x, [@up, @gate] : tensor<?x64xf32> -> tensor<?x256xf32>
  %u = tensor.extract_slice %y[0, 0] [%d, 128] [1, 1] : tensor<?x256xf32> to tensor<?x128xf32>
  %g = tensor.extract_slice %y[0, 128] [%d, 128] [1, 1] : tensor<?x256xf32> to tensor<?x128xf32>
  %z = pith.glu silu %g, %u : tensor<?x128xf32>
  return %z : tensor<?x128xf32>
}

// -----

// A table and a head that are tied are packed once, also if the model file gives the bytes two names.
// CHECK: pith.packed @head_packed [@head]
// CHECK-NOT: pith.packed @
// CHECK-LABEL: func @tied
// CHECK-DAG: pith.launch @linear_0
// CHECK-DAG: pith.launch @embedding_0
pith.weight @head : tensor<512x64xf32> = #pith.file<"model.onnx", 1024, 131072>
pith.weight @table : tensor<512x64xf32> = #pith.file<"model.onnx", 1024, 131072>
func.func @tied(%i: tensor<?xi64>) -> tensor<?x512xf32> {
  %x = pith.embedding %i, @table : tensor<?xi64> -> tensor<?x64xf32>
  %y = pith.linear %x, [@head] : tensor<?x64xf32> -> tensor<?x512xf32>
  return %y : tensor<?x512xf32>
}

// -----

// A result that is read twice is not swallowed by an epilogue.
// CHECK-LABEL: func @twice
// CHECK: pith.launch @linear_0
// CHECK: pith.activation relu
pith.weight @w : tensor<64x64xf32> = dense<1.0> : tensor<64x64xf32>
func.func @twice(%x: tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %y = pith.linear %x, [@w] : tensor<?x64xf32> -> tensor<?x64xf32>
  %z = pith.activation relu %y : tensor<?x64xf32>
  return %y, %z : tensor<?x64xf32>, tensor<?x64xf32>
}

// -----

// A format without a kernel stays.
// CHECK-LABEL: func @two_bits
// CHECK: pith.linear
pith.weight @w : tensor<4x32xf32, #pith.block_quant<bits = 2, block = 32, scale = f32>> = dense<0> : tensor<32xi8> scales dense<1.0> : tensor<4xf32>
func.func @two_bits(%x: tensor<?x32xf32>) -> tensor<?x4xf32> {
  %y = pith.linear %x, [@w] : tensor<?x32xf32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
