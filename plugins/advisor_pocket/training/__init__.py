"""How the pocket network was pretrained: sources -> views -> teachers' answers -> shards -> the loop.

Run by `python -m advisor_pocket.pretrain`; nothing here is needed to use the backbone.
"""
