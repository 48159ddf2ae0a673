"""The official OpenAI library as a client of the gateway."""

import base64
import json
import struct

import openai
from checks import CITY, EMBEDDING_MODEL, GREETING, MODEL, SCRIPTED, TIMEOUT, TOKEN, URL, check, equal, main, raises
from pydantic import BaseModel

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=TOKEN, timeout=TIMEOUT, max_retries=0)
ASK = [{"role": "system", "content": "You are short."}, {"role": "user", "content": "Say hello."}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Now", "parameters": PARAMETERS}}
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]


class Person(BaseModel):
    name: str
    age: int


def says(text):
    assert text, "the answer is empty"
    if SCRIPTED:
        equal(text, GREETING)


@check
def models_list():
    """models.list names the model"""
    names = [model.id for model in client.models.list()]
    assert MODEL in names, f"{MODEL} is not among {names}"


@check
def chat():
    """chat: plain, with usage"""
    answer = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=24)
    equal(answer.object, "chat.completion")
    says(answer.choices[0].message.content)
    equal(answer.choices[0].message.role, "assistant")
    assert answer.choices[0].finish_reason in ("stop", "length"), answer.choices[0].finish_reason
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0, answer.usage
    equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)


@check
def chat_stream():
    """chat: streamed in pieces, one finish_reason, no usage unasked"""
    chunks = list(client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=24, stream=True))
    pieces = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(pieces) > 1, pieces
    says("".join(pieces))
    equal(len({chunk.id for chunk in chunks}), 1)
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    equal(len(reasons), 1)
    assert all(chunk.usage is None for chunk in chunks), "usage came without being asked for"


@check
def chat_stream_usage():
    """chat: streamed with usage in a last chunk without choices"""
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=24, stream=True, stream_options=options)
    )
    last = chunks[-1]
    equal(last.choices, [])
    assert last.usage.prompt_tokens > 0 and last.usage.completion_tokens > 0, last.usage
    assert all(chunk.usage is None for chunk in chunks[:-1]), "usage came more than once"


@check(scripted=True)
def chat_tools():
    """chat: a tool call, its result, an answer"""
    answer = client.chat.completions.create(model=MODEL, messages=WEATHER, tools=[TOOL])
    equal(answer.choices[0].finish_reason, "tool_calls")
    message = answer.choices[0].message
    call = message.tool_calls[0]
    assert call.id, "the call has no id"
    equal(call.function.name, "get_weather")
    equal(json.loads(call.function.arguments), {"city": CITY})
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    history = WEATHER + [message.to_dict(), result]
    answer = client.chat.completions.create(model=MODEL, messages=history, tools=[TOOL])
    equal(answer.choices[0].message.content, "It is sunny.")
    equal(answer.choices[0].finish_reason, "stop")


@check(scripted=True)
def chat_tools_stream():
    """chat: a streamed tool call, put together by the library"""
    with client.chat.completions.stream(model=MODEL, messages=WEATHER, tools=[TOOL]) as stream:
        final = stream.get_final_completion()
    equal(final.choices[0].finish_reason, "tool_calls")
    call = final.choices[0].message.tool_calls[0]
    assert call.id, "the call has no id"
    equal((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": CITY}))


@check(scripted=True)
def chat_parse():
    """chat: structured output by parse"""
    ask = [{"role": "user", "content": "Who?"}]
    answer = client.chat.completions.parse(model=MODEL, messages=ask, response_format=Person)
    equal(answer.choices[0].message.parsed, Person(name="Ada", age=36))


@check
def unknown_model():
    """errors: an unknown model is NotFoundError"""
    call = lambda: client.chat.completions.create(model="nowhere/nothing", messages=ASK)
    error = raises(openai.NotFoundError, call)
    equal(error.code, "model_not_found")
    assert "nowhere/nothing" in str(error), error


@check
def bad_key():
    """errors: a wrong key is AuthenticationError"""
    other = client.with_options(api_key="dm_wrong")
    error = raises(openai.AuthenticationError, lambda: other.chat.completions.create(model=MODEL, messages=ASK))
    equal(error.code, "invalid_api_key")


@check
def overflow():
    """errors: too long a prompt is BadRequestError context_length_exceeded"""
    ask = [{"role": "user", "content": "overflow " * 60_000}]
    for stream in (False, True):
        call = lambda: list(client.chat.completions.create(model=MODEL, messages=ask, stream=stream))
        equal(raises(openai.BadRequestError, call).code, "context_length_exceeded")


@check
def bad_request():
    """errors: a request that is none is BadRequestError"""
    raises(openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages="hello"))


@check
def responses():
    """responses: plain, with usage"""
    answer = client.responses.create(model=MODEL, instructions="Be short.", input="Say hello.", max_output_tokens=24)
    says(answer.output_text)
    assert answer.status in ("completed", "incomplete"), answer.status
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0, answer.usage


TERMINAL = {"response.completed", "response.incomplete", "response.failed"}


@check
def responses_stream():
    """responses: streamed, numbered, exactly one terminal event and nothing after it"""
    events = list(client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=24, stream=True))
    kinds = [event.type for event in events]
    equal(kinds[0], "response.created")
    equal([kind for kind in kinds if kind in TERMINAL], [kinds[-1]])
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers)), numbers
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    says(text)
    equal(events[-1].response.output_text, text)
    # The library's own reader takes `response.completed` alone, so an answer cut at a limit is not for it.
    if SCRIPTED:
        with client.responses.stream(model=MODEL, input="Say hello.") as stream:
            stream.until_done()
            says(stream.get_final_response().output_text)


RESPONSES_TOOL = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": False}


@check(scripted=True)
def responses_tools():
    """responses: a tool call, its result, an answer; streamed too"""
    answer = client.responses.create(model=MODEL, input=WEATHER, tools=[RESPONSES_TOOL])
    call = next(item for item in answer.output if item.type == "function_call")
    equal((call.name, json.loads(call.arguments)), ("get_weather", {"city": CITY}))
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    history = WEATHER + [item.to_dict() for item in answer.output] + [result]
    answer = client.responses.create(model=MODEL, input=history, tools=[RESPONSES_TOOL])
    equal(answer.output_text, "It is sunny.")
    events = list(client.responses.create(model=MODEL, input=WEATHER, tools=[RESPONSES_TOOL], stream=True))
    deltas = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    equal(json.loads(deltas), {"city": CITY})
    equal([event.type for event in events if event.type in TERMINAL], ["response.completed"])


@check(scripted=True)
def responses_parse():
    """responses: structured output by parse"""
    answer = client.responses.parse(model=MODEL, input="Who?", text_format=Person)
    equal(answer.output_parsed, Person(name="Ada", age=36))


@check
def completions():
    """completions: plain and streamed"""
    answer = client.completions.create(model=MODEL, prompt="Say hello.", max_tokens=24)
    equal(answer.object, "text_completion")
    says(answer.choices[0].text)
    chunks = client.completions.create(model=MODEL, prompt="Say hello.", max_tokens=24, stream=True)
    says("".join(chunk.choices[0].text for chunk in chunks if chunk.choices))


@check(embeddings=True)
def embeddings():
    """embeddings: floats, and base64 as the library asks by default"""
    texts = ["a cup of tea", "a pot of coffee"]
    floats = client.embeddings.create(model=EMBEDDING_MODEL, input=texts, encoding_format="float")
    default = client.embeddings.create(model=EMBEDDING_MODEL, input=texts)
    equal([item.index for item in floats.data], [0, 1])
    for left, right in zip(floats.data, default.data, strict=True):
        assert len(left.embedding) == len(right.embedding) > 0
        assert all(abs(a - b) < 1e-3 for a, b in zip(left.embedding, right.embedding)), "the two forms differ"
    raw = client.embeddings.with_raw_response.create(model=EMBEDDING_MODEL, input="tea", encoding_format="base64")
    encoded = json.loads(raw.text if isinstance(raw.text, str) else raw.text())["data"][0]["embedding"]
    vector = base64.b64decode(encoded)
    equal(len(struct.unpack(f"<{len(vector) // 4}f", vector)), len(floats.data[0].embedding))
    assert default.usage.prompt_tokens > 0, default.usage


main()
