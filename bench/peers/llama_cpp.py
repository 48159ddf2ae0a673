"""llama.cpp through its Python binding: a request a line on standard input, what it took a line on standard output."""

import json
import sys
import time

from llama_cpp import Llama

path, threads = sys.argv[1], int(sys.argv[2])
model = Llama(path, n_ctx=4096, n_threads=threads, n_threads_batch=threads, verbose=False)
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    tokens = model.tokenize(request["prompt"].encode(), special=False)
    model.reset()
    started = time.perf_counter()
    model.eval(tokens)
    token = model.sample(temp=0.0)
    read = time.perf_counter()
    for _ in range(request["write"]):
        model.eval([token])
        token = model.sample(temp=0.0)
    written = time.perf_counter()
    print(
        json.dumps(
            {
                "read_tokens": len(tokens),
                "read_s": read - started,
                "written_tokens": request["write"],
                "write_s": written - read,
            }
        ),
        flush=True,
    )
