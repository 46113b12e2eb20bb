# with_server.sh FOLDER TOKENIZER "SERVER OPTIONS" COMMAND...: runs the example server on a free port, and COMMAND with
# the port as its first argument behind its name (behind the script's, for python3).
folder=$1 tokenizer=$2 options=$3
shift 3
log=$folder/server.log
$folder/build/examples/server/server $folder/model.pith $tokenizer --port 0 --threads 2 $options > $log 2>&1 &
server=$!
trap 'kill $server 2> /dev/null; wait $server' EXIT
for i in $(seq 300); do
  port=$(sed -n 's,^listening on http://127.0.0.1:,,p' $log)
  [ -n "$port" ] && break
  kill -0 $server 2> /dev/null || { cat $log; exit 1; }
  sleep 0.1
done
case $1 in
python3) script=$2; shift 2; python3 $script $port "$@" ;;
*) program=$1; shift; $program $port "$@" ;;
esac
