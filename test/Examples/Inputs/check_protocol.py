"""The example server's protocol: answers, streams, errors.

usage: check_protocol.py PORT
"""
import http.client
import json
import sys

checks = 0


def ask(path, body=None, method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=120)
    connection.request(method, path, body if isinstance(body, str) or body is None else json.dumps(body))
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        sys.exit("failed: %s" % (what,))


def refused(body, words, path="/v1/completions", expected=400):
    status, text = ask(path, body)
    error = json.loads(text)["error"]
    check(status == expected and words in error["message"] and error["code"] == expected, (body, status, text))


def events(text):
    parts = [part[len("data: "):] for part in text.split("\n\n") if part]
    check(parts[-1] == "[DONE]", text)
    return [json.loads(part) for part in parts[:-1]]


greedy = {"prompt": "def main(", "max_tokens": 12, "temperature": 0, "ignore_eos": True}
status, text = ask("/v1/completions", greedy)
whole = json.loads(text)
choice = whole["choices"][0]
check(status == 200 and whole["object"] == "text_completion" and choice["finish_reason"] == "length", text)
check(whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 12, "total_tokens": 15}, text)

status, text = ask("/v1/completions", dict(greedy, stream=True, stream_options={"include_usage": True}))
stream = events(text)
check("".join(c["text"] for e in stream for c in e["choices"]) == choice["text"], text)
check(stream[-1]["usage"]["completion_tokens"] == 12 and not stream[-1]["choices"], text)
check([c["finish_reason"] for e in stream for c in e["choices"]][-1] == "length", text)

status, text = ask("/v1/completions", dict(greedy, n=3, logprobs=2))
several = json.loads(text)["choices"]
check([c["index"] for c in several] == [0, 1, 2] and all(c["text"] == choice["text"] for c in several), text)
logprobs = several[0]["logprobs"]
check(len(logprobs["tokens"]) == 12 and all(value <= 0 for value in logprobs["token_logprobs"]), text)
check(all(abs(max(top.values()) - own) < 1e-5 for top, own in zip(logprobs["top_logprobs"], logprobs["token_logprobs"])), text)

stop = choice["text"][5:8]
status, text = ask("/v1/completions", dict(greedy, stop=[stop]))
stopped = json.loads(text)["choices"][0]
check(stopped["text"] == choice["text"][:choice["text"].index(stop)] and stopped["finish_reason"] == "stop", text)

first = several[0]["logprobs"]["tokens"][0]
banned = json.loads(ask("/v1/completions", dict(greedy, logit_bias={str(t): -100 for t in range(0, 2000)}))[1])
check(banned["choices"][0]["text"] != choice["text"], banned)

seeded = dict(greedy, temperature=1.0, top_p=0.9, seed=7, n=2)
once, again = (json.loads(ask("/v1/completions", seeded)[1])["choices"] for _ in range(2))
check([c["text"] for c in once] == [c["text"] for c in again], (once, again))
check(once[0]["text"] != once[1]["text"], once)

chat = {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}], "max_tokens": 6, "temperature": 0}
status, text = ask("/v1/chat/completions", chat)
message = json.loads(text)["choices"][0]["message"]
check(status == 200 and message["role"] == "assistant", text)
status, text = ask("/v1/chat/completions", dict(chat, stream=True, logprobs=True, top_logprobs=1))
deltas = [c for e in events(text) for c in e["choices"]]
check(deltas[0]["delta"]["role"] == "assistant" and "".join(d["delta"]["content"] for d in deltas) == message["content"], text)
check(all(len(entry["top_logprobs"]) == 1 for d in deltas for entry in d["logprobs"]["content"]), text)

check(json.loads(ask("/v1/models", method="GET")[1])["data"][0]["object"] == "model", "models")
check(json.loads(ask("/health", method="GET")[1])["status"] == "ok", "health")

refused("{", "not a JSON object")
refused({}, "prompt: is missing")
refused(dict(greedy, prompt=["a", "b"]), "several texts")
refused(dict(greedy, prompt=[99999]), "is no token")
refused(dict(greedy, prompt=[1] * 100000), "leave no room")
refused(dict(greedy, temperature=-1), "temperature: is -1")
refused(dict(greedy, temperature="hot"), "temperature: is not a number")
refused(dict(greedy, n=0), "n: is 0")
refused(dict(greedy, stop=[""]), "stop: ")
refused(dict(greedy, logit_bias={"x": 1}), 'logit_bias: "x" is no token')
refused(dict(greedy, stream="yes"), "stream: is neither true nor false")
refused({"messages": [{"role": "king", "content": ""}]}, 'unknown role "king"', "/v1/chat/completions")
refused({}, "messages: ", "/v1/chat/completions")
refused({}, "no such address", "/v1/nothing", 404)
print("protocol: %d checks passed" % checks)
