"""Compares greedy continuations with a reference, up to the first step that is a tie within rounding.

usage: compare_greedy.py REFERENCE.json KEY PITH MODEL TOKENIZER [OPTION...]
KEY is "" for the reference's own list, or the name of an object in it that has one.
"""
import json
import subprocess
import sys

reference, key, pith, model, tokenizer = sys.argv[1:6]
cases = json.load(open(reference))
cases = (cases[key] if key else cases)["greedy"]
compared = 0
for case in cases:
    expected = case["output_ids"]
    # A step whose two best logits are closer than this may fall either way.
    ties = [i for i, margin in enumerate(case["margins"]) if margin < 0.02]
    steps = ties[0] if ties else len(expected)
    command = [pith, "generate", model, "--tokenizer", tokenizer, "--prompt", case["prompt"], "-n", str(len(expected)),
               "--print-ids", "--ignore-eos"] + sys.argv[6:]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit("%s\n%s" % (" ".join(command), run.stderr))
    found = [int(word) for word in run.stdout.split()]
    if len(found) != len(expected) or found[:steps] != expected[:steps]:
        sys.exit("prompt %r:\nfound    %s\nexpected %s\nto be equal up to step %d" % (case["prompt"], found, expected, steps))
    compared += steps
print("%d prompts, %d tokens equal" % (len(cases), compared))
