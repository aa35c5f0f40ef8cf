"""How much faster many clients at a time are served than one after the other.

    python -m limrank_plugins.server.throughput
    python -m limrank_plugins.server.throughput --recipe limrank --model smollm2 --documents 3 --requests 30

Both ways are measured in turn, in one process, with the same requests: what else the machine does weighs on
both. JSON goes to stdout, a line for people to stderr.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any

from limrank_plugins import samples
from limrank_plugins.reranker import Reranker
from limrank_plugins.server import Limits, build_app, require_extra
from limrank_plugins.server.named_reranker import warm_up
from limrank_plugins.server.running import RunningServer, listen


def bodies(requests: int, documents: int) -> list[bytes]:
    """Requests with passages of the sample collection, no two of them the same."""
    passages = [document.text for document in samples.documents()]
    return [
        json.dumps(
            {
                "query": f"why does milk go lumpy in tea {number}",
                "documents": [
                    f"{passages[(number * documents + i) % len(passages)]} {number}" for i in range(documents)
                ],
            }
        ).encode()
        for number in range(requests)
    ]


@contextmanager
def serving(reranker: Reranker, clients: int) -> Iterator[int]:
    """The server on loopback, in a thread, until the block ends; its port."""
    app = build_app({"m": reranker}, limits=Limits(queue=max(64, clients)))
    listener, started = listen("127.0.0.1", 0), threading.Event()
    server = RunningServer(app, started.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        started.wait()
        yield listener.getsockname()[1]
    finally:
        server.drain()
        thread.join()
        listener.close()


def seconds_for(port: int, payloads: Sequence[bytes], clients: int) -> float:
    """Seconds until all are answered, each client asking one after the other on a connection of its own."""

    def client(mine: Sequence[bytes]) -> None:
        connection = HTTPConnection("127.0.0.1", port)
        try:
            for body in mine:
                connection.request("POST", "/rerank", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{answer.status}: {text.decode()}")
        finally:
            connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client, payloads[number::clients]) for number in range(clients)]:
            done.result()
    return time.perf_counter() - began


def measured(
    reranker: Reranker, *, clients: int, requests: int, documents: int, rounds: int
) -> dict[str, Any]:
    """Rounds of both ways in turn; how many times as fast many clients at a time are, for each round.

    Args:
        reranker: what is served.
        clients: how many ask at a time.
        requests: how many are answered, each way and round.
        documents: of a request.
        rounds: how many.
    """
    payloads = bodies(requests, documents)
    warm_up(reranker)
    alone, together = [], []
    with serving(reranker, clients) as port:
        seconds_for(port, payloads[:2], 1)
        for _ in range(rounds):
            alone.append(seconds_for(port, payloads, 1))
            together.append(seconds_for(port, payloads, clients))
    ratios = [one / many for one, many in zip(alone, together, strict=True)]
    return {
        "recipe": reranker.recipe.name,
        "clients": clients,
        "requests": requests,
        "documents": documents,
        "requests_per_second": {
            "one at a time": round(requests / statistics.median(alone), 1),
            f"{clients} clients": round(requests / statistics.median(together), 1),
        },
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in sorted(ratios)],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m limrank_plugins.server.throughput")
    parser.add_argument("--recipe", default="mini")
    parser.add_argument("--model")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=150, help="each way and round")
    parser.add_argument("--documents", type=int, default=10, help="of a request")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    require_extra()
    with closing(Reranker(options.recipe, options.model)) as reranker:
        report = measured(
            reranker,
            clients=options.clients,
            requests=options.requests,
            documents=options.documents,
            rounds=options.rounds,
        )
    sys.stdout.write(f"{json.dumps(report, indent=2)}\n")
    low, high = report["ratios"][0], report["ratios"][-1]
    sys.stderr.write(
        f"{options.clients} clients are served {report['ratio']} times as fast as one after the other "
        f"(median of {options.rounds} rounds; {low} to {high})\n"
    )


if __name__ == "__main__":
    main()
