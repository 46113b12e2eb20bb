module {
  func.func @main(%x: tensor<?xf32> {pith.dims = ["n"], pith.name = "x", pith.type = "f32"})
      -> (tensor<?xf32> {pith.dims = ["m"], pith.name = "y", pith.type = "f32"}) attributes {pith.entry = "invoke"} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %n = tensor.dim %x, %c0 : tensor<?xf32>
    %m = arith.subi %n, %c1 : index
    %y = tensor.extract_slice %x[1] [%m] [1] : tensor<?xf32> to tensor<?xf32>
    %z = arith.negf %y : tensor<?xf32>
    return %z : tensor<?xf32>
  }
}
