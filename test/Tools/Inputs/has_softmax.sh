#!/bin/sh
# Interesting: exit status 1.
grep -q pith.softmax "$1" && exit 1
exit 0
