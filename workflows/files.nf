// Files that a user names: whether they are there, and whether Nextflow can hand them to a task.

// Relative paths of a samplesheet count from its own folder, or else from where the run started
def fileOf(name, folder) {
    def beside = folder ? folder.resolve(name) : null
    return beside && beside.exists() ? beside : file(name, glob: false)
}

// What is wrong with a file, or null
def fileProblem(name, folder) {
    return fileAt(name, folder).problem
}

// The same of a file or a folder
def pathProblem(name, folder) {
    return foundAt(name, folder).problem
}

// The path of a file, and what is wrong with it
def fileAt(name, folder) {
    def found = foundAt(name, folder)
    return found.problem || !found.path.isDirectory() ? found : found + [problem: 'is a folder; give a file.']
}

// The path of a file or a folder, and what is wrong with it
def foundAt(name, folder) {
    try {
        def path = fileOf(name, folder)
        return [path: path, problem: path.exists() ? stagingProblem(path) : 'does not exist; check the path, and that it can be read from here.']
    }
    catch (Exception failure) {
        return [problem: unreachable(failure)]
    }
}

// A bucket that is not there, or not open to this user; a scheme that nothing here can read
def unreachable(failure) {
    def reason = "${failure.message ?: failure.class.simpleName}".replaceAll(/\s+/, ' ').take(200)
    return "does not exist; check the path, and that it can be read from here (${reason})."
}

def childrenOf(folder) {
    def children = []
    if (folder.isDirectory()) {
        folder.eachFile { path -> children << path }
    }
    return children
}

// What Nextflow leaves to the shell that links a file into a task, which takes it for more than a name
def stagingProblem(path) {
    def name = path.toString()
    def found = name =~ /[$*?\p{Cntrl}]|\{.*(?:,|\.\.).*\}/
    if (found.find()) {
        def what = found.group().replaceAll(/\p{Cntrl}/, 'a line break, tab or other control character')
        return "cannot be passed to a task by Nextflow: its path holds ${what}; rename the file or folder."
    }
    def other = name.contains('[') && !name.contains('://') ? files(name).find { match -> match != path } : null
    return other ? "cannot be told from ${other.name} by Nextflow, for which [ ] stands for one of several letters; rename the file." : null
}
