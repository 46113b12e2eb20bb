# Prints the blocks of @step without names and element types: SSA names, symbols and f16/f32 become placeholders, so that
# equal structures are equal text. How a weight lies in its file (k_major, block_quant) is part of its element type here.
awk '/func.func @step/ { on = 1 } on && /pith.block/ { inside = 1 } inside { print } on && /^    }/ { inside = 0 } on && /^  }/ { on = 0 }' |
  sed -E 's/%[A-Za-z0-9_]+(#[0-9]+)?(:[0-9]+)?/%/g; s/@"[^"]*"/@/g; s/@[A-Za-z0-9_.$-]+/@/g; s/ \{k_major\}//g; s/\b(bf16|f16|f32)\b/float/g; s/, #pith\.block_quant<[^>]*>//g; s/loc\(.*\)//; s/[0-9.]+e-[0-9]+/EPS/g'
