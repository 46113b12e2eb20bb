// RUN: pith-opt %s -split-input-file -pith-specialize-switch -canonicalize | FileCheck %s
// RUN: pith-opt %s -split-input-file -pith-specialize-switch -pith-raise-kv-cache -canonicalize | FileCheck %s --check-prefix=GONE

// A graph merged of two, told apart by a boolean input: the copy has the side that is taken when it is false, the entry both.
// CHECK-LABEL: func.func @main(
// CHECK: scf.if
// CHECK-LABEL: func.func @main_without_past(
// CHECK-SAME: pith.step_source
// CHECK-NOT: scf.if
// CHECK: math.sqrt
// CHECK-NOT: math.exp
// GONE-NOT: step_source
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}, %x: tensor<?xf32>, %past: tensor<1xi1> {pith.name = "use_cache_branch"})
    -> tensor<?xf32> attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %b = tensor.extract %past[%c0] : tensor<1xi1>
  %r = scf.if %b -> tensor<?xf32> {
    %e = math.exp %x : tensor<?xf32>
    scf.yield %e : tensor<?xf32>
  } else {
    %e = math.sqrt %x : tensor<?xf32>
    scf.yield %e : tensor<?xf32>
  }
  return %r : tensor<?xf32>
}

// -----

// A boolean input that decides nothing but values makes no copy.
// CHECK-LABEL: func.func @main(
// CHECK-NOT: func.func
func.func @main(%x: tensor<1xf32>, %which: tensor<1xi1>) -> tensor<1xf32> attributes {pith.entry = "invoke"} {
  %e = math.exp %x : tensor<1xf32>
  %r = arith.select %which, %e, %x : tensor<1xi1>, tensor<1xf32>
  return %r : tensor<1xf32>
}
