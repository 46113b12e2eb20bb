// RUN: pith-opt %s -pith-bufferize -canonicalize -cse | FileCheck %s

// The result is computed in the caller's buffer, and its sizes are returned.
// CHECK-LABEL: func @main(
// CHECK-SAME: %[[X:.*]]: memref<?x4xf32> {pith.name = "x"}, %[[Y:.*]]: memref<?x4xf32> {pith.name = "y"}) -> index
// CHECK-SAME: pith.inputs = 1
// CHECK: %[[N:.*]] = memref.dim %[[X]]
// CHECK-NOT: memref.alloc
// CHECK: linalg.generic {{.*}} ins(%[[X]] : memref<?x4xf32>) outs(%[[Y]] : memref<?x4xf32>)
// CHECK-NOT: memref.copy
// CHECK: return %[[N]] : index
func.func @main(%x: tensor<?x4xf32> {pith.name = "x"}) -> (tensor<?x4xf32> {pith.name = "y"}) attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %a : f32
    linalg.yield %c : f32
  } -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// An input given back is copied.
// CHECK-LABEL: func @copy(
// CHECK: memref.copy %{{.*}}, %{{.*}}
func.func @copy(%x: tensor<?xf32>) -> tensor<?xf32> attributes {pith.entry = "invoke"} {
  return %x : tensor<?xf32>
}

// A launch writes its outputs in place.
// CHECK-LABEL: func @launch(
// CHECK-SAME: %[[X:.*]]: memref<?x4xf32>, %[[Y:.*]]: memref<?x4xf32>)
// CHECK: pith.launch @kernel(%[[X]], %[[Y]], %{{.*}}) outputs [1] : (memref<?x4xf32>, memref<?x4xf32>, index) -> ()
func.func @launch(%x: tensor<?x4xf32>) -> tensor<?x4xf32> attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %y = pith.launch @kernel(%x, %e, %n) outputs [1] : (tensor<?x4xf32>, tensor<?x4xf32>, index) -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// A kernel that asks for an operand's row stride reads columns in place; any other gets them dense, and what it
// writes goes to its place afterwards.
// CHECK-LABEL: func.func @columns
// CHECK: %[[IN:.*]] = memref.subview %{{.*}}[0, 2] [%{{.*}}, 2] [1, 1]
// CHECK: pith.launch @strided(%[[IN]],
// CHECK: %[[DENSE:.*]] = memref.alloc(%{{.*}}) {{.*}}: memref<?x2xf32>
// CHECK: memref.copy %[[IN]], %[[DENSE]]
// CHECK: pith.launch @kernel(%[[DENSE]],
func.func private @strided(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, i64, i64) attributes {pith.kernel = {kind = "norm", strides = array<i64: 0>}}
func.func @columns(%x: tensor<?x4xf32>) -> (tensor<?x2xf32>, tensor<?x2xf32>) attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %in = tensor.extract_slice %x[0, 2] [%n, 2] [1, 1] : tensor<?x4xf32> to tensor<?x2xf32>
  %e = tensor.empty(%n) : tensor<?x2xf32>
  %y = pith.launch @strided(%in, %e, %n) outputs [1] : (tensor<?x2xf32>, tensor<?x2xf32>, index) -> tensor<?x2xf32>
  %z = pith.launch @kernel(%in, %e, %n) outputs [1] : (tensor<?x2xf32>, tensor<?x2xf32>, index) -> tensor<?x2xf32>
  return %y, %z : tensor<?x2xf32>, tensor<?x2xf32>
}
