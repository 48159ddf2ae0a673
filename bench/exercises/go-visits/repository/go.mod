module visits

go 1.21
