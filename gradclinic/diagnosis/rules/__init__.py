"""The rules, one a file. They do not import each other; `gradclinic.diagnosis.diagnose` lists them."""
