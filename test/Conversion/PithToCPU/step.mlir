// RUN: pith-opt %s -pith-limit-rows=max-rows=128 -convert-pith-to-cpu=cpu=x86-64-v4 -canonicalize | FileCheck %s

// Queries, keys and values are columns of one projection: they are read in place, with its row stride. The second layer's
// cache lies behind the first's in a page. Positions end with the smallest table.
pith.weight @wpe : tensor<258x32xf32> = dense<1.0> : tensor<258x32xf32>
pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>
pith.state @kv1 : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>

// CHECK-LABEL: func @step
// CHECK-SAME: pith.max_rows = 128 : i64, pith.positions = 256 : i64
// CHECK: pith.launch @embedding_0
// CHECK-DAG: %[[Q:.*]] = tensor.extract_slice %[[P:.*]][0, 0] [%{{.*}}, 32] [1, 1]
// CHECK-DAG: %[[K:.*]] = tensor.extract_slice %[[P]][0, 32] [%{{.*}}, 32] [1, 1]
// CHECK: %[[RK:.*]] = pith.launch @rope_0(%[[K]]
// CHECK: pith.launch @kv_append_0(%[[RK]], %{{.*}}) outputs []
// CHECK: pith.launch @attention_0(%[[Q]], %{{.*}}) outputs [1]
// CHECK: pith.launch @kv_append_1
// CHECK-NOT: pith.cache
// CHECK: func private @kv_append_0({{.*}}layer_offset = 0 : i64
// CHECK: func private @attention_0({{.*}}cache = "read"
// CHECK: func private @kv_append_1({{.*}}layer_offset = 8192 : i64
func.func @step(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %rows: tensor<?xi32>, %p: tensor<?x96xf32>,
                %cos: tensor<?x8xf32>, %sin: tensor<?x8xf32>) -> (tensor<?x32xf32>, tensor<?x32xf32>) attributes {pith.entry = "step"} {
  %two = arith.constant dense<2> : tensor<i32>
  %c0 = arith.constant 0 : index
  %n = tensor.dim %tokens, %c0 : tensor<?xi32>
  %twos = pith.broadcast %two dims(%n) : tensor<i32> -> tensor<?xi32>
  %shifted = arith.addi %positions, %twos : tensor<?xi32>
  %e = pith.embedding %shifted, @wpe : tensor<?xi32> -> tensor<?x32xf32>
  %q = tensor.extract_slice %p[0, 0] [%n, 32] [1, 1] : tensor<?x96xf32> to tensor<?x32xf32>
  %k = tensor.extract_slice %p[0, 32] [%n, 32] [1, 1] : tensor<?x96xf32> to tensor<?x32xf32>
  %v = tensor.extract_slice %p[0, 64] [%n, 32] [1, 1] : tensor<?x96xf32> to tensor<?x32xf32>
  %c = pith.cache @kv0 : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>
  %rk = pith.rope %k, %cos, %sin {head_dim = 16 : i64, rotary_dim = 16 : i64} : tensor<?x32xf32>, tensor<?x8xf32>
  %c1 = pith.kv_append %c, %rk, %v : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>, tensor<?x32xf32>, tensor<?x32xf32>
  %o = pith.cache_attention %q, %c1 {heads = 2 : i64, scale = 0.25 : f32} : tensor<?x32xf32>, !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16> -> tensor<?x32xf32>
  %d = pith.cache @kv1 : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>
  %d1 = pith.kv_append %d, %o, %v : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>, tensor<?x32xf32>, tensor<?x32xf32>
  return %o, %e : tensor<?x32xf32>, tensor<?x32xf32>
}
