"""Copies a file with one byte changed. usage: flip.py FROM TO POSITION (negative: from the end)"""
import sys

data = bytearray(open(sys.argv[1], "rb").read())
data[int(sys.argv[3])] ^= 0x55
open(sys.argv[2], "wb").write(data)
