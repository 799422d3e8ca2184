"""The server: a trained model behind HTTP, described by OpenAPI, with a page.

Knows requests, answers, who may ask and how often, and how a newly trained model takes the place of the old one. Does
not know how anything is scored: that is `hyperllm.serving`. Needs the extra ``hyperllm[serve]``.
"""
