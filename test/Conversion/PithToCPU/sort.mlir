// RUN: pith-opt %s -pith-linalg-to-loops | FileCheck %s

// Rows are divided; runs of twice the width are merged until one is the whole row.
// CHECK-LABEL: func @sort
// CHECK: scf.parallel
// CHECK:   scf.for
// CHECK:   scf.while
// CHECK:     arith.cmpi slt
// CHECK:     scf.condition
// CHECK:     scf.for
// CHECK:       scf.for {{.*}} iter_args
// CHECK:         arith.cmpf olt
// CHECK:         memref.store %{{.*}}, %arg2
func.func @sort(%keys: memref<?x64x1xf32>, %order: memref<?x64xi64>, %scratch: memref<?x64xi64>) {
  pith.argsort %keys into %order, %scratch {descending} : memref<?x64x1xf32> into memref<?x64xi64>, memref<?x64xi64>
  return
}
