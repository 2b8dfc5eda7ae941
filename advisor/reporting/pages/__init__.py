"""The pages of commands beside the main job: a comparison of strategies, an evaluation on other images."""
