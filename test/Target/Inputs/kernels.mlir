func.func private @f16() attributes {pith.kernel = {
  kind = "linear", format = "f16", n = 8192, k = 8192, block = 0, norm = "none", epsilon = 0.0 : f32,
  activation = "none", input = "f32", output = "f32", row_tile = 1}}
func.func private @int4() attributes {pith.kernel = {
  kind = "linear", format = "int4", n = 8192, k = 8192, block = 128, norm = "none", epsilon = 0.0 : f32,
  activation = "none", input = "f32", output = "f32", row_tile = 1}}
func.func private @attention() attributes {pith.kernel = {
  kind = "attention", element = "f16", kv_heads = 8, head_dim = 128, value_dim = 128, layer_offset = 0, heads = 32,
  scale = 0.088388 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f32", output = "f32", split}}
