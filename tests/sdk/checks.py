"""Runs checks one after the other: a line for each, and the first broken one ends the script with 1.

What is under test comes from the environment:
  GATEWAY_URL, GATEWAY_TOKEN   where the gateway is and a token for it
  GATEWAY_MODEL                a chat model
  GATEWAY_EMBEDDING_MODEL      a model that makes vectors; without it those checks are left out
  GATEWAY_SCRIPTED             1 when the model answers by the test's script, so that tools, schemas and thinking
                               can be counted on; a small real model cannot be held to them
"""

import os
import sys
import traceback

URL = os.environ["GATEWAY_URL"].rstrip("/")
TOKEN = os.environ["GATEWAY_TOKEN"]
MODEL = os.environ["GATEWAY_MODEL"]
EMBEDDING_MODEL = os.environ.get("GATEWAY_EMBEDDING_MODEL")
SCRIPTED = os.environ.get("GATEWAY_SCRIPTED") == "1"
# Seconds. A small model on a busy machine answers a short question well within this.
TIMEOUT = 120

# What the script answers; see sdks.rs.
GREETING = "Hello from the mesh, word by word."
SECRET_THOUGHT = "Two and two, one after the other."
CITY = "Paris"

_checks = []


def check(function=None, *, scripted=False, real=False, embeddings=False):
    """Marks a function as a check, perhaps only with a scripted model or only with a real one. Its docstring is the line
    that is printed."""

    def mark(function):
        fits = not scripted if not SCRIPTED else not real
        if fits and (EMBEDDING_MODEL or not embeddings):
            _checks.append(function)
        return function

    return mark(function) if function else mark


def raises(kind, call):
    """The error of that kind which the call ends in."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} came")


def equal(found, wanted):
    assert found == wanted, f"{found!r} instead of {wanted!r}"


def main():
    for function in _checks:
        try:
            function()
        except Exception as error:
            traceback.print_exc()
            print(f"broken: {function.__doc__}: {type(error).__name__}: {error}")
            sys.exit(1)
        print(f"ok: {function.__doc__}", flush=True)
    print(f"{len(_checks)} checks hold")
