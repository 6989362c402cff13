"""What launch files are generated from.

A template is a Jinja file `NAME.j2`; its result is the file `NAME`. It sees:

- `pair`, `model`, `gpu`, `vllm`, `measured`, `built`: the pair it is for, the vLLM version that was measured, by
  whom, and when the pair was built
- `flags`: vLLM setting -> value, such as `flags.max_loras`
- `args`: the same as arguments, `--enable-lora` first
- `adapters`: the admitted ones, each with `name`, `rank`, `rate` (requests/s) and `source` (or none)
- `modules`: an argument of `--lora-modules` for each admitted adapter that has a source: these are loaded at start
- `unsourced`: the names of the other admitted adapters
- `notes`: lines that tell what the pair rests on, how many adapters are loaded at start and how to load the others

Every value is written through a filter that quotes it for where it stands, `yaml`, `json`, `sh` or, in comments,
`comment`; and first through `literal` where the reader of the file replaces `$NAME`, as compose and Kubernetes do.
"""
