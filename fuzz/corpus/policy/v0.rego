package a

deny[msg] {
  x := input.list[_]
  not startswith(x, "a")
  msg := sprintf("%v", [x])
}
