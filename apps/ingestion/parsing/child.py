"""The process that parses: one file in on standard input, one JSON object out. Holds no secret."""

import dataclasses
import json
import resource
import sys


def limit_resources(*, memory_bytes: int, cpu_s: int) -> None:
    """Bound this process before it touches what a stranger has sent."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Usage: child NAME MEMORY_BYTES CPU_S < file."""
    name, memory_bytes, cpu_s = sys.argv[1:]
    limit_resources(memory_bytes=int(memory_bytes), cpu_s=int(cpu_s))
    from apps.ingestion.parsing.contracts import Unreadable
    from apps.ingestion.parsing.readers import DAMAGED, read_document

    try:
        answer = dataclasses.asdict(read_document(name, sys.stdin.buffer.read()))
    except Unreadable as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "The document takes too much memory to read: split it into smaller ones."}
    except RecursionError:
        answer = {"error": "The document is nested too deeply to read: save it in a simpler form."}
    except Exception as error:  # a parser's own bug on a broken file: the type is enough to find it
        answer = {
            "error": DAMAGED,
            "cause": f"{type(error).__module__}.{type(error).__name__}: {error}"[:500],
        }
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
