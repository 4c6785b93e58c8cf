// Shown in the error in place of what it does
def tell(message) {
    throw new Exception(message)
}

// End a run of which slides were refused with an error that names them, once all else is done.
// An error in an operator would stop what is being published.
process REFUSE {
    executor 'local'
    errorStrategy 'finish'

    input:
    val message

    exec:
    tell(message)

    stub:
    tell(message)
}
