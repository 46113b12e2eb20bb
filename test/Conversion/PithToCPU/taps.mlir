// RUN: pith-opt %s -split-input-file -pith-mark-taps | FileCheck %s
// RUN: pith-opt %s -split-input-file -pith-mark-taps -pith-inline-blocks -convert-pith-to-cpu=cpu=x86-64-v4 | FileCheck %s --check-prefix=LAUNCH

// One norm behind the wanted rows; the second block adds attention and MLP at once.
// CHECK-LABEL: func @step
// CHECK-SAME: pith.taps = {after_attention = [1, -1], after_final_norm = 4 : i64, after_mlp = [2, 3], block_in = [0, 2], hidden = 32 : i64, places = 5 : i64}
// CHECK: pith.tap 0(%{{.*}}) : tensor<?x32xf32>
// CHECK: pith.cache_attention
// CHECK: %[[MIDDLE:.*]] = arith.addf
// CHECK-NEXT: pith.tap 1(%[[MIDDLE]])
// CHECK: pith.yield
// CHECK: pith.tap 2
// CHECK-NOT: pith.tap
// CHECK: pith.yield
// CHECK: pith.tap 3(%[[Y:.*]]) : tensor<?x32xf32>
// CHECK: pith.gather %[[Y]]
// CHECK: pith.tap 4(%[[Y]]) scale %[[S:.*]] {epsilon = 9.99999974E-6 : f32, norm = "rms"} : tensor<?x32xf32>, tensor<32xf32>
// CHECK-NEXT: pith.rms_norm %{{.*}}, %[[S]]

// LAUNCH-LABEL: func @step
// LAUNCH: pith.launch @tap_0({{.*}}) outputs [] : (tensor<?x32xf32>, index) -> ()
// LAUNCH-COUNT-3: pith.launch @tap_0
// LAUNCH: pith.launch @tap_1({{.*}}) outputs [] : (tensor<?x32xf32>, tensor<32xf32>, index) -> ()
// LAUNCH: func private @tap_0({{.*}}kind = "tap", norm = "none"
// LAUNCH: func private @tap_1({{.*}}kind = "tap", norm = "rms"
pith.weight @w : tensor<32x32xf32> = dense<1.0> : tensor<32x32xf32>
pith.weight @scale : tensor<32xf32> = dense<1.0> : tensor<32xf32>
pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>
pith.state @kv1 : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>
func.func @step(%x: tensor<?x32xf32>, %positions: tensor<?xi32>, %rows: tensor<?xi32>) -> tensor<?x32xf32> attributes {pith.entry = "step"} {
  %c0 = pith.cache @kv0 : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>
  %y, %s0 = pith.block 0(%x) states(%c0) : (tensor<?x32xf32>, !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>) -> (tensor<?x32xf32>, !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>) {
  ^bb0(%h: tensor<?x32xf32>, %c: !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>):
    %k = pith.linear %h, [@w] : tensor<?x32xf32> -> tensor<?x32xf32>
    %c1 = pith.kv_append %c, %k, %k : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>, tensor<?x32xf32>, tensor<?x32xf32>
    %a = pith.cache_attention %h, %c1 {heads = 2 : i64, scale = 0.25 : f32} : tensor<?x32xf32>, !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16> -> tensor<?x32xf32>
    %m = arith.addf %h, %a : tensor<?x32xf32>
    %f = pith.linear %m, [@w] : tensor<?x32xf32> -> tensor<?x32xf32>
    %z = arith.addf %m, %f : tensor<?x32xf32>
    pith.yield %z, %c1 : tensor<?x32xf32>, !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>
  }
  %d0 = pith.cache @kv1 : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>
  %u, %s1 = pith.block 1(%y) states(%d0) : (tensor<?x32xf32>, !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>) -> (tensor<?x32xf32>, !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>) {
  ^bb0(%h: tensor<?x32xf32>, %c: !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>):
    %k = pith.linear %h, [@w] : tensor<?x32xf32> -> tensor<?x32xf32>
    %c1 = pith.kv_append %c, %k, %k : !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>, tensor<?x32xf32>, tensor<?x32xf32>
    %a = pith.cache_attention %h, %c1 {heads = 2 : i64, scale = 0.25 : f32} : tensor<?x32xf32>, !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16> -> tensor<?x32xf32>
    %m = arith.addf %h, %a : tensor<?x32xf32>
    %f = pith.linear %h, [@w] : tensor<?x32xf32> -> tensor<?x32xf32>
    %z = arith.addf %m, %f : tensor<?x32xf32>
    pith.yield %z, %c1 : tensor<?x32xf32>, !pith.kv<kv_heads = 2, head_dim = 16, value_dim = 16, element = f16>
  }
  %g = pith.gather %u, %rows axis 0 : tensor<?x32xf32>, tensor<?xi32> -> tensor<?x32xf32>
  %s = pith.load @scale : tensor<32xf32>
  %n = pith.rms_norm %g, %s {epsilon = 1.0e-5 : f32} : tensor<?x32xf32>, tensor<32xf32>
  %o = pith.linear %n, [@w] : tensor<?x32xf32> -> tensor<?x32xf32>
  return %o : tensor<?x32xf32>
}
