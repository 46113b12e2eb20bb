// RUN: pith-opt %s -convert-pith-to-linalg -verify-diagnostics

pith.state @kv : !pith.kv<kv_heads = 1, head_dim = 4, value_dim = 4, element = f32>
func.func @cache() {
  // expected-error @+1 {{cannot be lowered to code for this target}}
  %c = pith.cache @kv : !pith.kv<kv_heads = 1, head_dim = 4, value_dim = 4, element = f32>
  return
}
