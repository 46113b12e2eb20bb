//===- MutateValues.cpp - constants and types of models changed -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Mutate.h"

#include <iterator>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

using namespace pith::onnx::proto;
using pith::test::Mutator;

// Numbers, names and words at which something changes.
int64_t Mutator::number() {
  static const std::vector<int64_t> usual = {0, 1, -1, 2, 3, -2, 4, 5, 6, 7, 8};
  static const std::vector<int64_t> other = {-3, 9,  12,  16,  20,  31,  32,  33,  64,
                                             65, -8, 100, 127, 128, 255, 256, 768, 1 << 20};
  static const std::vector<int64_t> huge = {INT32_MAX, INT32_MIN,     int64_t(1) << 32, int64_t(1) << 62,
                                            INT64_MAX, INT64_MAX - 1, INT64_MIN};
  return oneIn(2) ? any(usual) : oneIn(2) ? any(other) : any(huge);
}

float Mutator::real() {
  using Limits = std::numeric_limits<float>;
  static const std::vector<float> numbers = {0,
                                             1,
                                             -1,
                                             0.5f,
                                             2,
                                             -0.0f,
                                             1e-5f,
                                             1e30f,
                                             -1e30f,
                                             Limits::infinity(),
                                             Limits::quiet_NaN(),
                                             Limits::denorm_min()};
  return any(numbers);
}

static std::vector<std::string> split(const char *text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

std::string Mutator::text() {
  static const std::vector<std::string> words = split(
      "NOTSET SAME_UPPER SAME_LOWER VALID linear cubic nearest bilinear bicubic half_pixel "
      "align_corners asymmetric pytorch_half_pixel tf_crop_and_resize half_pixel_symmetric floor ceil "
      "round_prefer_ceil not_larger not_smaller stretch constant reflect edge wrap zeros border add mul "
      "min max none sum mean avg tanh Relu Tanh Sigmoid Affine Clip silu gelu swiglu relu forward "
      "reverse bidirectional DCR CRD LEFT RIGHT ij,jk->ik ...ij,...jk->...ik ii->i i,i-> ij-> int4 "
      "gated delta gated_delta down up \xff\xfe");
  return oneIn(4) ? anyName() : oneIn(8) ? "" : any(words);
}

std::string Mutator::attributeName() {
  static const std::vector<std::string> names = split(
      "axis axes perm to keepdims num_heads alpha value beta mode dtype block_size epsilon scale "
      "direction auto_pad k p group reduction pads strides dilations kernel_shape output_padding "
      "output_shape shape starts ends split num_outputs bits N K kv_num_heads q_num_heads do_rotary "
      "local_window_size softcap is_causal unidirectional hidden_size rotary_embedding_dim interleaved "
      "rotary_interleaved qkv_hidden_sizes equation num_scan_inputs scan_input_axes scan_output_axes "
      "scan_input_directions activations layout linear_before_reset clip transA transB batch_dims "
      "allowzero noop_with_empty_axes ceil_mode storage_order count_include_pad "
      "coordinate_transformation_mode keep_aspect_ratio_policy nearest_mode align_corners antialias "
      "exclude_outside largest sorted upper exclusive time_axis batch_axis blocksize num_groups "
      "stash_type output_dtype saturate quantize_axis gather_axis value_int value_ints value_float "
      "value_floats start end activation_type swiglu_fusion expert_weight_bits onesided inverse max min "
      "seed sample_size bias size qk_matmul_output_mode score_mod");
  return any(names);
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

void Mutator::change(TensorProto &tensor) {
  switch (below(8)) {
  case 0:
    return tensor.set_data_type(below(28));
  case 1:
    return tensor.add_dims(oneIn(2) ? 1 : number());
  case 2:
    if (tensor.dims_size())
      tensor.mutable_dims()->RemoveLast();
    return;
  case 3:
    if (tensor.dims_size())
      tensor.set_dims(below(tensor.dims_size()), number());
    return;
  case 4:
    if (tensor.dims_size()) // the same number of elements
      tensor.mutable_dims()->SwapElements(below(tensor.dims_size()), below(tensor.dims_size()));
    return;
  case 5:
    if (oneIn(3))
      return changeExternal(tensor);
    [[fallthrough]];
  default:
    changeData(tensor);
  }
}

void Mutator::changeData(TensorProto &tensor) {
  if (tensor.int64_data_size() && !oneIn(4))
    return tensor.set_int64_data(below(tensor.int64_data_size()), number());
  if (tensor.int32_data_size() && !oneIn(4))
    return tensor.set_int32_data(below(tensor.int32_data_size()), int32_t(number()));
  if (tensor.float_data_size() && !oneIn(4))
    return tensor.set_float_data(below(tensor.float_data_size()), real());
  std::string &raw = *tensor.mutable_raw_data();
  if (raw.size() >= 8 && raw.size() % 8 == 0 && oneIn(2)) {
    const int64_t value = number();
    raw.replace(size_t(below(int(raw.size() / 8))) * 8, 8, reinterpret_cast<const char *>(&value), 8);
  } else if (raw.size() >= 4 && raw.size() % 4 == 0 && oneIn(3)) {
    const float value = real();
    raw.replace(size_t(below(int(raw.size() / 4))) * 4, 4, reinterpret_cast<const char *>(&value), 4);
  } else if (!raw.empty() && oneIn(2)) {
    raw[size_t(below(int(raw.size())))] = char(below(256));
  } else if (!raw.empty() && oneIn(2)) {
    raw.pop_back();
  } else {
    raw.append(8, char(below(256)));
  }
}

void Mutator::changeExternal(TensorProto &tensor) {
  static const char *const keys[] = {"location", "offset", "length", "checksum"};
  static const char *const files[] = {"weights.bin", "absent.bin",     "",         ".",
                                      "..",          "../weights.bin", "/dev/zero"};
  tensor.set_data_location(oneIn(4) ? below(3) : 1);
  if (!tensor.external_data_size()) {
    StringStringEntryProto &location = *tensor.add_external_data();
    location.set_key("location");
    location.set_value(files[0]);
  }
  StringStringEntryProto &entry =
      oneIn(2) ? *tensor.add_external_data() : any(*tensor.mutable_external_data());
  if (!entry.has_key())
    entry.set_key(keys[below(4)]);
  entry.set_value(entry.key() == "location" ? files[below(7)] : std::to_string(number()));
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

void Mutator::change(TypeProto &type, int depth) {
  if (oneIn(48) && depth < 3)
    return change(*type.mutable_sequence_type()->mutable_elem_type(), depth + 1);
  if (oneIn(48) && depth < 3)
    return change(*type.mutable_optional_type()->mutable_elem_type(), depth + 1);
  TypeProto::Tensor &tensor = *type.mutable_tensor_type();
  if (oneIn(4))
    return tensor.set_elem_type(below(28));
  if (oneIn(32))
    return tensor.clear_shape();
  TensorShapeProto &shape = *tensor.mutable_shape();
  if (!shape.dim_size() || oneIn(4)) {
    shape.add_dim()->set_dim_value(number());
  } else if (oneIn(4)) {
    shape.mutable_dim()->RemoveLast();
  } else {
    static const char *const sizes[] = {"batch",        "n",   "n + 1", "2*n", "n//2", "batch*n",
                                        "(n)//(batch)", "n-n", "",      "\xff"};
    TensorShapeProto::Dimension &dim = any(*shape.mutable_dim());
    dim.Clear();
    if (oneIn(2))
      dim.set_dim_value(number());
    else
      dim.set_dim_param(sizes[below(10)]);
  }
}

void Mutator::change(ValueInfoProto &value) {
  if (oneIn(8))
    return value.set_name(anyName());
  change(*value.mutable_type(), 0);
}
