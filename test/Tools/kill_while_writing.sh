# Runs a compiler and kills it as soon as it has begun to write beside FILE; FILE must be as it was, or whole.
set -u
file=$1; shift
"$@" &
compiler=$!
while kill -0 $compiler 2>/dev/null && ! compgen -G "$file.tmp.*" > /dev/null; do sleep 0.002; done
kill -9 $compiler 2>/dev/null
wait $compiler 2>/dev/null
[ "$(head -c 3 "$file")" = old ] || [ "$(tail -c 8 "$file")" = PITHFILE ]
