"""The recorder in the loops of other frameworks: a callback for each, in a module of its own that alone imports it.

from gradclinic.integrations.lightning import RecorderCallback      # pip install 'gradclinic[lightning]'
from gradclinic.integrations.huggingface import RecorderCallback    # pip install 'gradclinic[huggingface]'
"""
