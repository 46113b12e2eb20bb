// RUN: pith-opt %s -pith-build-gpu-launchers=target=cuda:sm_80 | FileCheck %s

// A linear's form is chosen by its rows.
// CHECK: func private @linear(%[[CTX:[a-z0-9]+]]: !llvm.ptr, %{{.*}}: i32, %{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr, %[[ROWS:.*]]: i64)
// CHECK: %[[ONE:.*]] = arith.constant 1 : i64
// CHECK: %[[IS1:.*]] = arith.cmpi sle, %[[ROWS]], %[[ONE]]
// CHECK: scf.if %[[IS1]]
// CHECK:   llvm.mlir.constant(0 : i32)
// CHECK:   llvm.call
// CHECK: } else {
// CHECK:   arith.cmpi sle, %[[ROWS]]
// CHECK:   llvm.mlir.constant(1 : i32)
func.func private @linear(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, !llvm.ptr, i64) attributes {pith.kernel = {
  kind = "linear", format = "f16", n = 64 : i64, k = 64 : i64, block = 0 : i64, norm = "none", epsilon = 0.0 : f32,
  activation = "none", input = "f32", output = "f32", product = "bf16", parts = 3 : i64}}

// Rows, lanes and the layer's place come from the context and the specification.
// CHECK: func private @append(%[[CTX:[a-z0-9]+]]: !llvm.ptr,
// CHECK: llvm.getelementptr %[[CTX]][200]
// CHECK: llvm.getelementptr %[[CTX]][72]
// CHECK: llvm.getelementptr %[[CTX]][40]
// CHECK: arith.constant 16 : i64
func.func private @append(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, i64, i64) attributes {pith.kernel = {
  kind = "kv_append", cache = "write", element = "f16", kv_heads = 2 : i64, head_dim = 16 : i64, value_dim = 16 : i64,
  layer_offset = 1024 : i64, input = "f32", output = "f32"}}

// Few rows share their tokens among blocks, whose findings are merged.
// CHECK: func private @attention(%[[CTX:[a-z0-9]+]]: !llvm.ptr,
// CHECK: arith.cmpi slt
// CHECK: scf.if
// CHECK:   arith.divui
// CHECK:   llvm.call
// CHECK:   llvm.call
// CHECK: } else {
// CHECK:   llvm.call
// CHECK-NOT: llvm.call
// CHECK: return
func.func private @attention(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, !llvm.ptr, i64, i64) attributes {pith.kernel = {
  kind = "attention", cache = "read", element = "f16", kv_heads = 2 : i64, head_dim = 16 : i64, value_dim = 16 : i64,
  layer_offset = 0 : i64, heads = 4 : i64, scale = 0.25 : f32, softcap = 0.0 : f32, window = 0 : i64, bias = 0 : i64,
  input = "f32", output = "f32"}}

// Over a condition: its lanes beside the step's.
// CHECK: func private @condition(%[[CTX:[a-z0-9]+]]: !llvm.ptr,
// CHECK: llvm.getelementptr %[[CTX]][168]
func.func private @condition(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, !llvm.ptr, i64, i64) attributes {pith.kernel = {
  kind = "attention", cache = "read", element = "f16", kv_heads = 2 : i64, head_dim = 16 : i64, value_dim = 16 : i64,
  layer_offset = 0 : i64, heads = 4 : i64, scale = 0.25 : f32, softcap = 0.0 : f32, window = 0 : i64, bias = 0 : i64,
  condition, input = "f32", output = "f32"}}

// Over tensors: matrix units where there are 16 queries and any tokens.
// CHECK: func private @tensors(%{{.*}}: !llvm.ptr, %{{.*}}: i32, {{.*}} %[[QUERIES:[a-z0-9]+]]: i64, %[[TOKENS:[a-z0-9]+]]: i64, %{{[a-z0-9]+}}: i64, %{{[a-z0-9]+}}: i64, %{{[a-z0-9]+}}: i64, %{{[a-z0-9]+}}: i64)
// CHECK-DAG: %[[C16:.*]] = arith.constant 16 : i64
// CHECK-DAG: arith.cmpi sge, %[[QUERIES]], %[[C16]]
// CHECK-DAG: arith.cmpi sge, %[[TOKENS]], %
// CHECK: scf.if
// CHECK:   llvm.call
// CHECK: } else {
// CHECK:   llvm.call
func.func private @tensors(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, i64, i64, i64, i64, i64, i64, i64) attributes {pith.kernel = {
  kind = "attention", tensors, mask = "none", element = "f32", kv_heads = 2 : i64, head_dim = 16 : i64, value_dim = 16 : i64,
  layer_offset = 0 : i64, heads = 4 : i64, scale = 0.25 : f32, softcap = 0.0 : f32, window = 0 : i64, bias = 0 : i64,
  input = "f32", output = "f32", product = "bf16", parts = 3 : i64}}

// A tap is nothing where it is not wanted.
// CHECK: func private @tap(%[[CTX:[a-z0-9]+]]: !llvm.ptr,
// CHECK: %[[TAPS:.*]] = llvm.load
// CHECK: llvm.icmp "ne" %[[TAPS]]
// CHECK: scf.if
func.func private @tap(!llvm.ptr, i32, !llvm.ptr, i64, i64) attributes {pith.kernel = {
  kind = "tap", norm = "none", k = 64 : i64, heads = 1 : i64, epsilon = 0.0 : f32, input = "f32", output = "f32"}}

// CHECK: gpu.module @kernels
// CHECK: gpu.func @linear
// CHECK: gpu.func @kv_append
// CHECK: gpu.func @norm_none_gather_64
