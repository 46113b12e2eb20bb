// Where a chip has warp groups a linear layer gets memory for its rows: whole tiles of 128, 64 k of three times 2 bytes.
// GROUPS-DAG: pith.kernel = {{.*}}warp_groups
// GROUPS-DAG: %[[ROW:.*]] = arith.constant 384 : index
// GROUPS-DAG: %[[MORE:.*]] = arith.constant 48768 : index
// GROUPS-DAG: %[[BYTES:.*]] = arith.muli %{{.*}}, %[[ROW]]
// GROUPS-DAG: %[[ALL:.*]] = arith.addi %[[BYTES]], %[[MORE]]
// GROUPS-DAG: tensor.empty(%[[ALL]]) : tensor<?xi8>
// PLAIN-NOT: warp_groups
// PLAIN-NOT: tensor<?xi8>
pith.weight @w : tensor<48x64xf16> = dense<1.0> : tensor<48x64xf16>
func.func @main(%x: tensor<?x64xf32>) -> tensor<?x48xf32> attributes {pith.entry = "invoke"} {
  %y = pith.linear %x, [@w] : tensor<?x64xf32> -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}
