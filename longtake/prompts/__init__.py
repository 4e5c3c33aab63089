"""Prompts: free text and storyboards turned into shots and control tracks."""
