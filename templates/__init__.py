"""What launch files are generated from.

A template is a Jinja file `NAME.j2`; its result is the file `NAME`. The comment that it begins with says what that is
(`advisor render --list`). Pieces that several share begin with `_` and are included. A template sees:

- `pair`, `model`, `gpu`, `measured`, `built`: the pair it is for, by whom it was measured, and when it was built
- `server`: what the server is called, "vllm" or, of several, the likes of "gpu-0"; `file`: the name of the file
- `vllm`: the version to write for, and `summary`: that, how many adapters, and the GPU, in words
- `gpus`: how many of them the server spans
- `flags`: vLLM setting -> value, such as `flags.max_loras`; `args`: the same as arguments, `--enable-lora` first
- `adapters`: the admitted ones, each with `name`, `rank`, `rate` (requests/s) and `source` (or none)
- `modules`: an argument of `--lora-modules` for each of them that is loaded at start, so that has a source
- `command`: `args` and the modules, as vLLM takes them behind the model
- `environment`: variables that vLLM needs: the switch for loading adapters at run time, where that is asked for
- `unsourced`: the names of the admitted adapters without a source; `rejected`: `count` of
  those that are not admitted, and the largest `rank` among them
- `folder`: where all adapters lie under their names, if the sources are like that
- `mounts`: the folders of the machine that a container needs at the same paths, as adapters are loaded from there
- `basis`: lines that tell what the pair rests on; `notes`: these, and which adapters are loaded at start
- `limits`: what a gateway enforces: `requests_in_flight`; `total` and one of `adapters` (with a `name`) each with
  `per_minute` and `burst` of a token bucket, and the requests of `any_minute`; `zones`: `names` whose bucket is alike;
  with requests that name no adapter, `model` is one of the names
- `expected`: throughput, ITL, TTFT and more, as `advisor recommend --format json` has them
- `benchmark`: `input_tokens`, `output_tokens` and their relative `spread`, `request_rate`, and `names` of adapters,
  each as often as requests ask for it

What router maps are generated from is in `routers/`, and sees what `advisor/deploy/write/router.py` lists.

Every value is written through a filter that quotes it for where it stands: `yaml`, `json`, `sh`, `systemd`, `nginx`,
`env` (an env-file) or, in comments, `comment`; and first through `literal` where the reader of the file replaces
`$NAME`, as compose and Kubernetes do. What a format cannot say is refused: `only(pattern, who, what)`, `uri(who,
schemes…)`, `mountable(who, taken…)`, `untemplated(who)`, `apart(who)`, `at_most(bytes, what)`. `spellings`: how clients
may write a text in JSON.
"""
