// RUN: pith-opt %s -split-input-file -verify-diagnostics

gpu.module @kernels {
  gpu.func @place() kernel {
    // expected-error @+1 {{has index 2, expected less than 2}}
    %row, %octet = tile.place own 2
    gpu.return
  }
}
