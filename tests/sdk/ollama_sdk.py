"""Ollama's own library as a client of the gateway."""

import time

import ollama
from checks import (
    CITY, EMBEDDING_MODEL, GREETING, MODEL, SCRIPTED, SECRET_THOUGHT, TIMEOUT, TOKEN, URL, check, equal, main, raises,
)

client = ollama.Client(host=f"{URL}/ollama", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=TIMEOUT)
ASK = [{"role": "user", "content": "Say hello."}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Now", "parameters": PARAMETERS}}
FEW = {"num_predict": 24}
RESIDENTS_S = 30


def says(text):
    assert text, "the answer is empty"
    if SCRIPTED:
        equal(text, GREETING)


@check
def listing():
    """list names the model"""
    names = [model.model for model in client.list().models]
    assert MODEL in names, f"{MODEL} is not among {names}"


@check
def chat():
    """chat: plain, with counts"""
    answer = client.chat(model=MODEL, messages=ASK, options=FEW)
    says(answer.message.content)
    assert answer.done and answer.prompt_eval_count > 0 and answer.eval_count > 0, answer


@check
def chat_stream():
    """chat: streamed, done exactly once and last"""
    parts = list(client.chat(model=MODEL, messages=ASK, options=FEW, stream=True))
    equal([part.done for part in parts], [False] * (len(parts) - 1) + [True])
    says("".join(part.message.content or "" for part in parts))


@check(scripted=True)
def tools():
    """chat: a tool call, its result, an answer"""
    ask = [{"role": "user", "content": "What is the weather in Paris?"}]
    message = client.chat(model=MODEL, messages=ask, tools=[TOOL]).message
    call = message.tool_calls[0].function
    equal((call.name, dict(call.arguments)), ("get_weather", {"city": CITY}))
    history = ask + [message, {"role": "tool", "tool_name": "get_weather", "content": "sunny"}]
    equal(client.chat(model=MODEL, messages=history, tools=[TOOL]).message.content, "It is sunny.")


@check(scripted=True)
def schema():
    """chat: format with a schema"""
    properties = {"name": {"type": "string"}, "age": {"type": "integer"}}
    wanted = {"type": "object", "properties": properties, "required": ["name", "age"]}
    equal(client.chat(model=MODEL, messages=ASK, format=wanted).message.content, '{"name":"Ada","age":36}')


@check(scripted=True)
def thinking():
    """chat: thinking in a field of its own"""
    message = client.chat(model=MODEL, messages=[{"role": "user", "content": "Please think: 2+2?"}], think=True).message
    equal((message.thinking, message.content), (SECRET_THOUGHT, "Four."))


# The scripted model knows conversations alone.
@check(real=True)
def generate():
    """generate: plain and streamed"""
    says(client.generate(model=MODEL, prompt="Say hello.", options=FEW).response)
    parts = list(client.generate(model=MODEL, prompt="Say hello.", options=FEW, stream=True))
    assert parts[-1].done, parts[-1]
    says("".join(part.response for part in parts))


@check(embeddings=True)
def embed():
    """embed: a vector for each text"""
    answer = client.embed(model=EMBEDDING_MODEL, input=["a cup of tea", "a pot of coffee"])
    equal(len(answer.embeddings), 2)
    assert len(answer.embeddings[0]) == len(answer.embeddings[1]) > 0


@check
def residents():
    """ps answers, and soon names the model that was just asked"""
    # The gateway looks at what is loaded every few seconds and not for each caller.
    deadline = time.monotonic() + RESIDENTS_S
    while MODEL not in (names := [model.model for model in client.ps().models]):
        assert time.monotonic() < deadline, f"{MODEL} is not among {names} after {RESIDENTS_S} s"
        time.sleep(0.2)


@check
def show():
    """show tells what the model can do"""
    assert "completion" in client.show(MODEL).capabilities


@check
def errors():
    """errors: unknown model 404, wrong key 401, too long a prompt 400"""
    call = lambda: client.chat(model="nowhere/nothing", messages=ASK)
    equal(raises(ollama.ResponseError, call).status_code, 404)
    other = ollama.Client(host=f"{URL}/ollama", headers={"Authorization": "Bearer dm_wrong"}, timeout=TIMEOUT)
    equal(raises(ollama.ResponseError, lambda: other.chat(model=MODEL, messages=ASK)).status_code, 401)
    call = lambda: client.chat(model=MODEL, messages=[{"role": "user", "content": "overflow " * 60_000}])
    equal(raises(ollama.ResponseError, call).status_code, 400)


main()
