"""The official Anthropic library as a client of the gateway."""

import anthropic
from checks import CITY, GREETING, MODEL, SCRIPTED, SECRET_THOUGHT, TIMEOUT, TOKEN, URL, check, equal, main, raises

client = anthropic.Anthropic(base_url=URL, api_key=TOKEN, timeout=TIMEOUT, max_retries=0)
ASK = [{"role": "user", "content": "Say hello."}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "description": "Now", "input_schema": SCHEMA}
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]
THINKING = {"type": "enabled", "budget_tokens": 1024}


def says(text):
    assert text, "the answer is empty"
    if SCRIPTED:
        equal(text, GREETING)


@check
def models_list():
    """models.list names the model in this vendor's shape"""
    names = [model.id for model in client.models.list()]
    assert MODEL in names, f"{MODEL} is not among {names}"


@check
def messages():
    """messages: plain, with usage"""
    answer = client.messages.create(model=MODEL, system="Be short.", messages=ASK, max_tokens=24)
    equal((answer.type, answer.role), ("message", "assistant"))
    says(answer.content[0].text)
    assert answer.stop_reason in ("end_turn", "max_tokens"), answer.stop_reason
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0, answer.usage


@check
def messages_stream():
    """messages: streamed, put together by the library; usage in message_start"""
    with client.messages.stream(model=MODEL, messages=ASK, max_tokens=24) as stream:
        kinds = []
        for event in stream:
            kinds.append(event.type)
            if event.type == "message_start":
                assert event.message.usage.input_tokens > 0, event.message.usage
        final = stream.get_final_message()
    equal((kinds[0], kinds[-1]), ("message_start", "message_stop"))
    equal(kinds.count("message_stop"), 1)
    equal(kinds.count("content_block_start"), kinds.count("content_block_stop"))
    says(final.content[0].text)
    assert final.usage.output_tokens > 0, final.usage


@check(scripted=True)
def tools():
    """messages: a tool call, its result, an answer"""
    answer = client.messages.create(model=MODEL, messages=WEATHER, tools=[TOOL], max_tokens=200)
    equal(answer.stop_reason, "tool_use")
    call = next(block for block in answer.content if block.type == "tool_use")
    assert call.id, "the call has no id"
    equal((call.name, call.input), ("get_weather", {"city": CITY}))
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    history = WEATHER + [
        {"role": "assistant", "content": [block.to_dict() for block in answer.content]},
        {"role": "user", "content": [result]},
    ]
    answer = client.messages.create(model=MODEL, messages=history, tools=[TOOL], max_tokens=200)
    equal(answer.content[0].text, "It is sunny.")
    equal(answer.stop_reason, "end_turn")


@check(scripted=True)
def tools_stream():
    """messages: a streamed tool call"""
    with client.messages.stream(model=MODEL, messages=WEATHER, tools=[TOOL], max_tokens=200) as stream:
        final = stream.get_final_message()
    call = next(block for block in final.content if block.type == "tool_use")
    equal((final.stop_reason, call.input), ("tool_use", {"city": CITY}))


@check(scripted=True)
def thinking():
    """messages: thinking in a block before the text; streamed, closed before the next one opens"""
    ask = [{"role": "user", "content": "Please think: two and two?"}]
    answer = client.messages.create(model=MODEL, messages=ask, thinking=THINKING, max_tokens=2048)
    equal([block.type for block in answer.content], ["thinking", "text"])
    equal((answer.content[0].thinking, answer.content[1].text), (SECRET_THOUGHT, "Four."))
    with client.messages.stream(model=MODEL, messages=ask, thinking=THINKING, max_tokens=2048) as stream:
        open_blocks = 0
        for event in stream:
            open_blocks += (event.type == "content_block_start") - (event.type == "content_block_stop")
            assert open_blocks in (0, 1), "a block opened before the last one closed"
        final = stream.get_final_message()
    equal([block.type for block in final.content], ["thinking", "text"])
    equal(final.content[0].thinking, SECRET_THOUGHT)
    # The history goes back as it came.
    history = ask + [{"role": "assistant", "content": [block.to_dict() for block in final.content]}] + ASK
    says(client.messages.create(model=MODEL, messages=history, thinking=THINKING, max_tokens=2048).content[-1].text)


@check
def count_tokens():
    """count_tokens: more text, more tokens"""
    short = client.messages.count_tokens(model=MODEL, messages=ASK).input_tokens
    long = client.messages.count_tokens(
        model=MODEL, system="Be short.", tools=[TOOL], messages=[{"role": "user", "content": "Say hello. " * 200}]
    ).input_tokens
    assert 0 < short < long, (short, long)


@check
def errors():
    """errors: unknown model, wrong key, too long a prompt, no request"""
    create = client.messages.create
    error = raises(anthropic.NotFoundError, lambda: create(model="nowhere/nothing", messages=ASK, max_tokens=8))
    equal(error.body["error"]["type"], "not_found_error")
    other = client.with_options(api_key="dm_wrong")
    call = lambda: other.messages.create(model=MODEL, messages=ASK, max_tokens=8)
    equal(raises(anthropic.AuthenticationError, call).body["error"]["type"], "authentication_error")
    ask = [{"role": "user", "content": "overflow " * 60_000}]
    error = raises(anthropic.BadRequestError, lambda: create(model=MODEL, messages=ask, max_tokens=8))
    equal(error.body["error"]["type"], "invalid_request_error")
    raises(anthropic.BadRequestError, lambda: create(model=MODEL, messages="hello", max_tokens=8))


main()
