"""Clients that do not read take every place in the cache; another must be answered all the same, and they too when they read.

usage: check_stalled.py PORT
"""
import http.client
import json
import socket
import sys
import time

port = int(sys.argv[1])
tokens = 400


def health():
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/health")
    return json.loads(connection.getresponse().read())


# Long events fill the buffers between server and client soon.
body = json.dumps({"prompt": "def main(", "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True,
                   "logprobs": 20})
stalled = []
for i in range(3):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(("POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(body), body)).encode())
    stalled.append(client)

# Until nothing moves any more.
before = -1
for i in range(300):
    now = health()
    if now["tokens"] == before and now["tokens"] > 0:
        break
    before = now["tokens"]
    time.sleep(0.5)
if before >= 3 * tokens:
    sys.exit("the clients did not stall: %s" % now)

connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
connection.request("POST", "/v1/completions", json.dumps({"prompt": "import ", "max_tokens": 4, "temperature": 0}))
answer = json.loads(connection.getresponse().read())
if answer["usage"]["completion_tokens"] != 4:
    sys.exit("not answered: %s" % answer)

for client in stalled:
    text = b""
    client.settimeout(120)
    while True:
        piece = client.recv(65536)
        if not piece:
            break
        text += piece
    if not text.rstrip().endswith(b"0") or b"data: [DONE]" not in text or b'"finish_reason":"length"' not in text:
        sys.exit("a stalled client's answer is not whole: %d bytes, end %r" % (len(text), text[-200:]))
print("3 clients did not read, another was answered; then they read all")
