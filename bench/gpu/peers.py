"""The same work through PyTorch: cuBLAS for products, cuDNN or flash attention for attention. One line of JSON each."""
import json
import time

import torch


def best(work, repeats=5, inside=20):
    work()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(inside):
            work()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / inside)
    return min(times)


def report(name, seconds, **figures):
    print(json.dumps({"peer": name, "time (us)": seconds * 1e6, **figures}))


def main():
    torch.manual_seed(0)
    for rows, n, k in [(1, 8192, 8192), (1, 28672, 8192), (8192, 8192, 8192), (2048, 14336, 4096)]:
        x = torch.randn(rows, k, device="cuda", dtype=torch.float16)
        w = torch.randn(n, k, device="cuda", dtype=torch.float16)
        seconds = best(lambda: torch.nn.functional.linear(x, w))
        report("cublas f16 %dx%dx%d" % (rows, n, k), seconds, **{"products (Tflop/s)": 2 * rows * n * k / seconds / 1e12,
               "bytes per second (GB/s)": 2 * (n * k + rows * (n + k)) / seconds / 1e9})
    for tokens in (2048, 16384):
        q, k, v = (torch.randn(1, 32, tokens, 128, device="cuda", dtype=torch.float16) for _ in range(3))
        seconds = best(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True), inside=5)
        report("attention forward, causal, %d tokens" % tokens, seconds,
               **{"products (Tflop/s)": 2 * 2 * 32 * tokens * tokens * 128 / 2 / seconds / 1e12})


main()
