"""Claims, predictions, exercises, quizzes and progress."""
