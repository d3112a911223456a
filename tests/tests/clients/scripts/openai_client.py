"""What the OpenAI SDK does; one line of JSON for each step.

Says "ready" and waits for a line before the first. Arguments: the base URL, the most retries, then the steps."""

import json
import sys

import openai

URL, RETRIES, *STEPS_WANTED = sys.argv[1:]
client = openai.OpenAI(base_url=URL, api_key="none", max_retries=int(RETRIES), timeout=20)
MESSAGES = [{"role": "user", "content": "hello"}]

STEPS = {
    "embed": lambda: len(client.embeddings.create(model="m", input="x", encoding_format="float").data),
    "chat": lambda: client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content,
    "chat_stored": lambda: client.chat.completions.create(model="m", messages=MESSAGES, store=True).choices[0].message.content,
    "respond": lambda: client.responses.create(model="m", input="hello").id,
    "respond_unstored": lambda: client.responses.create(model="m", input="hello", store=False).id,
    "upload": lambda: client.files.create(file=("a.txt", b"text"), purpose="assistants").id,
}

print("ready", flush=True)
sys.stdin.readline()
for step in STEPS_WANTED:
    told = {"step": step}
    try:
        told["ok"] = STEPS[step]()
    except openai.APIStatusError as error:
        told.update(error=type(error).__name__, status=error.status_code, message=str(error), body=error.body)
    except Exception as error:  # whatever the SDK raises is what is to be told
        told.update(error=type(error).__name__, message=str(error))
    print(json.dumps(told), flush=True)
