// RUN: pith-opt %s -split-input-file -verify-diagnostics -pith-build-gpu-kernels=target=hip:gfx942

// expected-error @below {{no GPU kernel of kind 'sort'}}
func.func private @unknown() attributes {pith.kernel = {kind = "sort"}}

// -----

// expected-error @below {{'k' in {heads = 1 : i64, kind = "norm", norm = "rms"} should be an integer of at least 1}}
func.func private @incomplete() attributes {pith.kernel = {kind = "norm", norm = "rms", heads = 1}}

// -----

// expected-error @below {{no kernel for blocks of 48 input features; expected a multiple of 32, or a part of it that is a multiple of 8}}
func.func private @blocks() attributes {pith.kernel = {
  kind = "linear", format = "int4", n = 64, k = 96, block = 48, norm = "none", epsilon = 0.0 : f32, activation = "none",
  input = "f32", output = "f32", row_tile = 1}}

// -----

// expected-error @below {{no kernel for a layer norm in a linear layer's prologue}}
func.func private @layer() attributes {pith.kernel = {
  kind = "linear", format = "f16", n = 64, k = 96, block = 0, norm = "layer", epsilon = 0.0 : f32, activation = "none",
  input = "f32", output = "f32", row_tile = 1}}

// -----

// expected-error @below {{no kernel for attention of 6 heads over 4 kv heads; expected a multiple}}
func.func private @heads() attributes {pith.kernel = {
  kind = "attention", element = "f16", kv_heads = 4, head_dim = 64, value_dim = 64, layer_offset = 0, heads = 6,
  scale = 1.0 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f32", output = "f32"}}

// -----

// expected-error @below {{attribute 'pith.kernel' should be a dictionary}}
func.func private @text() attributes {pith.kernel = "norm"}

// -----

// expected-error @below {{no kernel for attention over sequences' conditions with a window, slopes or biases by distance}}
func.func private @condition() attributes {pith.kernel = {
  kind = "attention", element = "f16", kv_heads = 4, head_dim = 64, value_dim = 64, layer_offset = 0, heads = 4,
  scale = 1.0 : f32, softcap = 0.0 : f32, window = 0, bias = 8, condition, input = "f32", output = "f32"}}

// -----

// expected-error @below {{no kernel for attention over tensors with slopes or biases by distance, or split}}
func.func private @tensors() attributes {pith.kernel = {
  kind = "attention", tensors, mask = "none", element = "f32", kv_heads = 4, head_dim = 64, value_dim = 64,
  layer_offset = 0, heads = 4, scale = 1.0 : f32, softcap = 0.0 : f32, window = 0, bias = 0, split, input = "f32",
  output = "f32"}}

// -----

// expected-error-re @below {{'mask' in {{.*}} should be one of the names it can have}}
func.func private @mask() attributes {pith.kernel = {
  kind = "attention", tensors, mask = "some", element = "f32", kv_heads = 4, head_dim = 64, value_dim = 64,
  layer_offset = 0, heads = 4, scale = 1.0 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f32",
  output = "f32"}}

// -----

// expected-error @below {{no kernel for attention heads of 80 and 64 channels by warp groups; expected multiples of 64}}
func.func private @channels() attributes {pith.kernel = {
  kind = "attention", element = "f16", kv_heads = 4, head_dim = 80, value_dim = 64, layer_offset = 0, heads = 4,
  scale = 1.0 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f32", output = "f32", tile, product = "f16",
  parts = 1, warp_groups}}

// -----

// expected-error @below {{no kernel for attention in 2 parts by warp groups; expected 1}}
func.func private @parts() attributes {pith.kernel = {
  kind = "attention", element = "f16", kv_heads = 4, head_dim = 64, value_dim = 64, layer_offset = 0, heads = 4,
  scale = 1.0 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f32", output = "f32", tile, product = "f16",
  parts = 2, warp_groups}}

// -----

// expected-error @below {{no kernel for bf16 weights in products of f16}}
func.func private @product() attributes {pith.kernel = {
  kind = "linear", format = "bf16", n = 64, k = 96, block = 0, norm = "none", epsilon = 0.0 : f32, activation = "none",
  input = "f32", output = "f32", row_tile = 64, product = "f16", parts = 1, stages = 2}}

// -----

// expected-error @below {{the kernel needs 98304 bytes of shared memory; hip:gfx942 has 65536}}
func.func private @stages() attributes {pith.kernel = {
  kind = "linear", format = "f16", n = 4096, k = 4096, block = 0, norm = "none", epsilon = 0.0 : f32, activation = "none",
  input = "f32", output = "f32", row_tile = 128, product = "f16", parts = 1, stages = 3}}

// -----

// expected-error @below {{no kernel for attention heads of 256 channels on matrix units; at most 128 are supported}}
func.func private @wide() attributes {pith.kernel = {
  kind = "attention", element = "f16", kv_heads = 8, head_dim = 256, value_dim = 128, layer_offset = 0, heads = 8,
  scale = 1.0 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f16", output = "f16", tile, product = "f16",
  parts = 1}}
