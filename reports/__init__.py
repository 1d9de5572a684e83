"""What a run leaves behind: report.json, report.html and the last lines in the terminal."""
