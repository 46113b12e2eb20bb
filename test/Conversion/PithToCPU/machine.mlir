// RUN: not pith-opt %s -convert-pith-to-cpu=cpu=pentium3 2>&1 | FileCheck %s
// CHECK: error: unknown CPU 'pentium3', or one without AVX2
func.func @f() { return }
